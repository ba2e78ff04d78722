"""How soon does a newcomer see parts, and what when several people are at the page at once?

First a browser: clicks besides the drawing, and seconds, until a new tab shows the first gallery of parts. Then
clients: each teaches labels of its own to its own face, again and again, and segments a picture; the answer must have
its own classes. Is every request answered, is none crossed, is the memory given back?
`python -m toolkit benchmark page`.
"""

import json as json_module
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent))

import labelling  # noqa: E402
from page import CHROMIUM, Visitor, launch, resident_mb, server  # noqa: E402

from toolkit.pictures import images  # noqa: E402
from toolkit.show import plots  # noqa: E402
from toolkit.worlds import portraits  # noqa: E402

CLIENTS, SECONDS = 8, 180
FORGOTTEN = 150  # seconds after which the page has noticed closed tabs and let go of them
NEWCOMERS = 3
COUNT_CLICKS = """() => {
    window.clicks = 0;  // by hand, outside the canvas
    document.addEventListener("click", event => {
        if (event.isTrusted && !event.target.closest("#board")) window.clicks += 1;
    }, true);
}"""


def newcomers(address):
    """The most that a few new tabs needed: (clicks, seconds from Teach to the gallery, milliseconds from a move of the
    brush to the frame that shows it, in 95 of 100); None without a browser."""
    if CHROMIUM is None:
        return None
    from playwright.sync_api import sync_playwright

    seen = []
    with sync_playwright() as playwright:
        browser = launch(playwright)
        for _ in range(NEWCOMERS):
            visitor = Visitor(browser, address, width=1280, height=900)
            visitor.page.evaluate(COUNT_CLICKS)
            visitor.draw_face()
            started = time.monotonic()
            visitor.teach()
            visitor.page.wait_for_selector("#gallery img >> nth=7")
            seconds = time.monotonic() - started
            visitor.page.locator("#board .stage").scroll_into_view_if_needed()
            drawn = labelling.cost(visitor.page)["frame_p95_ms"]
            seen.append((visitor.page.evaluate("window.clicks"), seconds, drawn))
            visitor.close()
        browser.close()
    return tuple(map(max, zip(*seen)))


class Person(threading.Thread):
    """One client that goes through the steps until the time is up."""

    def __init__(self, address, number, folder, until):
        super().__init__()
        self.address, self.number, self.folder, self.until = address, number, folder, until
        self.answered, self.queued, self.crossed, self.errors, self.waits = 0, 0, 0, [], []

    def run(self):
        from gradio_client import Client, handle_file

        client = Client(self.address, verbose=False, download_files=str(self.folder))
        part = f"part-{self.number}"
        label_map = np.full((64, 64), 255, np.uint8)
        label_map[:8], label_map[20 + self.number : 30 + self.number, 22:42] = 0, 1
        drawing = self.folder / f"labels-{self.number}.png"
        Image.fromarray(label_map).save(drawing)
        photo = self.folder / f"photo-{self.number}.png"
        images.save_png(photo, portraits.render(1, 128, 800_300 + self.number)[0])
        while time.monotonic() < self.until:
            self.ask(client, "/generate", self.number, 0.7)
            self.ask(client, "/fit", handle_file(drawing), f"background, {part}", "linear")
            answer = self.ask(client, "/segment", handle_file(photo), 5)
            if answer is not None and answer[1]["classes"] != ["background", part]:
                self.crossed += 1
        client.close()

    def ask(self, client, name, *inputs):
        """One request, waited for; its answer, or None when it failed or the queue was full."""
        started = time.monotonic()
        try:
            answer = client.predict(*inputs, api_name=name)
            self.answered += 1
            self.waits.append(time.monotonic() - started)
            return answer
        except Exception as error:
            if "queue is full" in str(error).lower():
                self.queued += 1
            else:
                self.errors.append(f"{name}: {error}"[:200])


def crowd(address, folder, seconds):
    """All clients for so long; the finished threads."""
    until = time.monotonic() + seconds
    people = [Person(address, i, folder, until) for i in range(CLIENTS)]
    for person in people:
        person.start()
    for person in people:
        person.join()
    return people


def main(json=False):
    """Print how it went; the first, short crowd warms up what is loaded once for everybody."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder, server() as (address, process):
        folder = Path(folder)
        first = newcomers(address)
        crowd(address, folder, 20)
        time.sleep(FORGOTTEN)
        before = resident_mb(process.pid)
        people = crowd(address, folder, SECONDS)
        during = resident_mb(process.pid)
        time.sleep(FORGOTTEN)
        after = resident_mb(process.pid)
    waits = sorted(wait for person in people for wait in person.waits)
    clicks, seconds, drawn = first or (None, None, None)
    report = {
        "cpus": os.cpu_count(),
        "load_before": round(load, 1),
        "clicks_to_first_gallery": clicks,
        "teach_to_gallery_s": seconds and round(seconds, 1),
        "brush_to_frame_p95_ms": drawn,
        "clients": CLIENTS,
        "seconds": SECONDS,
        "answered": sum(person.answered for person in people),
        "refused_by_full_queue": sum(person.queued for person in people),
        "lost": sum(len(person.errors) for person in people),
        "crossed": sum(person.crossed for person in people),
        "median_s": round(waits[len(waits) // 2], 2),
        "longest_s": round(waits[-1], 2),
        "before_mb": round(before),
        "during_mb": round(during),
        "after_mb": round(after),
        "memory_ratio": round(after / before, 3),
    }
    for error in [error for person in people for error in person.errors][:5]:
        print(error, file=sys.stderr)
    if json:
        print(json_module.dumps(report))
        return
    print(plots.table([("what", "value"), *report.items()]))
    print("wanted: at most 3 clicks and 8 s; a brush seen within 50 ms; lost 0; crossed 0; memory_ratio at most 1.1")


if __name__ == "__main__":
    main(json="--json" in sys.argv)
