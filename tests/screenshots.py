"""Pictures of the page, one of each step at each width: `python tests/screenshots.py`.

Written to demos/screenshots/. The wide ones are light and the narrow ones dark; each is what the step shows in use.
"""

import sys

from page import ROOT, Visitor, launch, server
from PIL import Image
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(ROOT))  # in a bare clone the toolkit is not installed

FOLDER = ROOT / "demos" / "screenshots"
WIDTHS = {1280: "light", 390: "dark"}
EXAMPLE = 0  # of the pictures that step 3 offers: the astronaut, of the public domain
KIND = 0  # of the cars, and of the horses, that the first screen offers
PHOTO = ROOT / "demos" / "photographs" / "faces-astronaut.jpg"  # for the first screen and step 4


def main():
    """Go through the steps at each width."""
    FOLDER.mkdir(exist_ok=True)
    with server() as (address, _), sync_playwright() as playwright:
        browser = launch(playwright)
        for width, scheme in WIDTHS.items():
            visitor = Visitor(browser, address, width=width, height=900, color_scheme=scheme)
            steps(visitor, width)
            visitor.close()
        kinds(Visitor(browser, address, width=1280, height=900, color_scheme="light"))
        browser.close()


def steps(visitor, width):
    """A photograph's parts at once; label and teach; suggest; segment; auto-shot: a picture of each."""
    visitor.page.locator("#try-picture input[type=file]").first.set_input_files(PHOTO)
    visitor.page.wait_for_selector("#try-parts img")
    save(visitor, f"{width}-0-try", "#try")
    visitor.draw_face()
    visitor.teach()
    visitor.page.wait_for_selector("#gallery img >> nth=7")
    visitor.click("#suggest")
    visitor.page.wait_for_selector("#suggestion img >> nth=1")
    if width > 700:  # one card beside the other
        save(visitor, f"{width}-1-label-2-teach", ".steps:has(> #label)")
    else:
        save(visitor, f"{width}-1-label", "#label")
        save(visitor, f"{width}-2-teach", "#teach")
    visitor.page.locator("#segment-examples .thumbnail-item").nth(EXAMPLE).click()
    visitor.page.wait_for_selector("#pictures img")
    visitor.page.get_by_label("Side by side").click()
    visitor.click("#segment-button")
    visitor.page.wait_for_selector("#segment-status >> text=Done.")
    visitor.page.wait_for_selector("#download-coco")
    save(visitor, f"{width}-3-segment", "#segment")
    visitor.page.locator("#auto-picture input[type=file]").first.set_input_files(PHOTO)
    visitor.page.locator("#auto-parts").scroll_into_view_if_needed()
    visitor.page.wait_for_selector("#auto-parts img")
    visitor.page.wait_for_selector("#auto-legend .chip")
    visitor.click("#train")
    visitor.page.wait_for_selector("#autoshot-status progress")
    save(visitor, f"{width}-4-autoshot", "#autoshot")
    visitor.click("#train-cancel")
    visitor.page.wait_for_selector("#autoshot-status >> text=Cancelled.")


def kinds(visitor):
    """A car and a horse that GANs drew, and their parts at once."""
    for kind in ("cars", "horses"):
        visitor.page.locator("#gan").get_by_label(kind, exact=True).click()
        visitor.page.wait_for_selector(f"#terms >> text={kind}-64")
        visitor.page.locator("#try-examples .thumbnail-item").nth(KIND).click()
        visitor.page.wait_for_selector("#try-parts img")
        visitor.page.wait_for_selector("#try-trust .chip")
        save(visitor, f"1280-0-{kind}", "#try")
    visitor.close()


def save(visitor, name, selector):
    """One part of the page, in 256 colours: these files stay in the history for good."""
    size = visitor.page.viewport_size
    # Higher than any step: a window that grows just for a picture is caught half drawn.
    visitor.page.set_viewport_size({"width": size["width"], "height": 2000})
    visitor.page.mouse.move(1, 1)
    visitor.page.wait_for_timeout(2000)  # until what fades in has, and what moves has settled
    path = FOLDER / f"{name}.png"
    visitor.page.locator(selector).screenshot(path=path)
    visitor.page.set_viewport_size(size)
    picture = Image.open(path).convert("RGB")
    # Maximum coverage keeps the few pixels of a legend in their colours, where the median cut would not.
    picture.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size >> 10} KB", file=sys.stderr)


if __name__ == "__main__":
    main()
