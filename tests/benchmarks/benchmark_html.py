"""Pictures a second of the exported page, in a real browser on one thread."""

import json as json_
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from page import launch  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402

from toolkit.autoshot import AutoShotSegmenter  # noqa: E402
from toolkit.gan.files import zoo  # noqa: E402
from toolkit.pictures.images import to_pil  # noqa: E402
from toolkit.show import plots  # noqa: E402
from toolkit.worlds import portraits  # noqa: E402

SIDES = (64, 512, 1024)  # of the pictures; the network sees 64 pixels of each
WEBCAM_SECONDS = 5


def opened(page, files):
    """Seconds until files are segmented and shown."""
    started = time.perf_counter()
    page.set_input_files("#files", files)
    page.wait_for_selector(f"#status >> text={len(files)} pictures segmented")
    return time.perf_counter() - started


def measure(folder, num):
    """Rows of the table."""
    auto = AutoShotSegmenter.load(zoo.folder() / "portraits-64-autoshot.safetensors", "cpu")
    auto.export_html(folder / "parts.html")
    rows = [{"what": "the page, MB", "value": round((folder / "parts.html").stat().st_size / 1e6, 1)}]
    pictures = [to_pil(image) for image in portraits.render(num, SIDES[0], 1_500_000)[0]]
    with sync_playwright() as playwright:
        browser = launch(playwright)
        page = browser.new_context(offline=True).new_page()
        page.set_default_timeout(300_000)
        started = time.perf_counter()
        page.goto((folder / "parts.html").as_uri())
        page.wait_for_selector("#open:enabled")
        rows.append({"what": "seconds until it is ready", "value": round(time.perf_counter() - started, 1)})
        for side in SIDES:
            files = [folder / f"{side}-{i}.png" for i in range(num)]
            for file, image in zip(files, pictures, strict=True):
                image.resize((side, side)).save(file)
            rate = round(num / opened(page, files), 1)
            rows.append({"what": f"pictures of {side} pixels a second, read and shown", "value": rate})
            page.reload()
            page.wait_for_selector("#open:enabled")
        page.click("#webcam")
        page.wait_for_selector(".rate >> text=second")
        time.sleep(WEBCAM_SECONDS)
        rows.append({"what": "webcam, pictures a second", "value": float(page.inner_text(".rate").split()[0])})
        browser.close()
    return rows


def main(json=False, num=20):
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), num)
    if json:
        print(json_.dumps(rows))
        return
    print(plots.table([tuple(rows[0]), *(tuple(row.values()) for row in rows)]))
