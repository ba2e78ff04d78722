"""The page as a real server in its own process, and a real browser to drive it."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from labelling import Labeller

ROOT = Path(__file__).parent.parent
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
EYES, NOSE, MOUTH = 3, 5, 6  # of the classes a new tab has
BROWSER_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]


@contextmanager
def server(*flags, app=ROOT / "demos" / "app.py", port=None, **environment):
    """Serve the page on a port, a free one if not given: yields (address, process)."""
    if port is None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
    command = [sys.executable, str(app), "--port", str(port), *flags]
    process = subprocess.Popen(
        command,
        cwd=app.parent,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(2400):
            if process.poll() is not None:
                raise RuntimeError(f"the page did not start:\n{process.stdout.read()}")
            try:
                urllib.request.urlopen(address, timeout=2).read()
                break
            except OSError:
                time.sleep(0.25)
        yield address, process
    finally:
        process.terminate()
        process.wait(20)


def launch(playwright):
    """Debian's chromium; no browser is downloaded."""
    return playwright.chromium.launch(executable_path=CHROMIUM, args=BROWSER_FLAGS)


class Visitor(Labeller):
    """One tab of the page and what a person does there. It waits for what is on screen, never for the clock."""

    within, size = "#board", (64, 64)  # of the bundled GAN

    def __init__(self, browser, address, *, width=820, height=760, **options):
        self.address, self.requests = address, []
        viewport = {"width": width, "height": height}
        self.page = browser.new_context(accept_downloads=True, viewport=viewport, **options).new_page()
        self.page.set_default_timeout(120_000)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(address)
        self.settled()

    def close(self):
        self.page.context.close()

    def settled(self):
        """Wait until the canvas shows its last picture and the server has every stroke."""
        self.wait_for_picture(0)
        last, same = None, 0
        while same < 3:
            self.page.wait_for_timeout(100)
            now = self.page.evaluate("""() => {
                const { revision, waiting } = document.querySelector("#board [data-waiting]").dataset;
                const ready = document.querySelector("#board .toolkit-labeller").dataset.ready;
                return [revision, waiting, ready];
            }""")
            same, last = (same + 1 if now == last and now[1:] == ["0", "0"] else 0), now

    def labels(self):
        """What the browser keeps of the drawing, (1, H, W), once the server has it too."""
        self.page.wait_for_selector('#board [data-waiting="0"]')
        runs = self.page.evaluate("JSON.parse(sessionStorage.getItem('kept')).board.labels")
        return np.repeat(runs[::2], runs[1::2]).astype(np.uint8).reshape(1, *self.size[::-1])

    def choose(self, number, key=False):
        """Take the brush of a class, by its name or by its key."""
        row = self.page.locator("#board .side button").nth(number)
        if key:
            self.page.keyboard.press(str(number))
        else:
            row.click()
        self.page.wait_for_selector('#board .side button[aria-pressed="true"] >> nth=0')
        assert row.get_attribute("aria-pressed") == "true"

    def stroke(self, *points):
        """Draw a line with the mouse, and wait until the server has it. Points are of a canvas of 512 pixels."""
        self.page.locator("#board .stage").scroll_into_view_if_needed()
        before = self.strokes
        self.drag(*[(int(x * self.size[0] / 512), int(y * self.size[1] / 512)) for x, y in points])
        self.page.wait_for_function(
            "n => document.querySelector('#board [data-strokes]').dataset.strokes > n", arg=before
        )
        self.page.wait_for_selector('#board [data-waiting="0"]')

    @property
    def strokes(self):
        """How many strokes were drawn on the picture that is on the canvas."""
        return int(self.page.locator("#board [data-strokes]").get_attribute("data-strokes"))

    def draw_face(self):
        """Eyes, mouth and nose of the face a new tab shows."""
        self.choose(EYES)
        self.stroke((170, 220), (210, 220))
        self.stroke((305, 220), (345, 220))
        self.choose(MOUTH)
        self.stroke((225, 358), (300, 358))
        self.choose(NOSE)
        self.stroke((256, 245), (256, 297))

    def click(self, where):
        """Click a component, by its selector, or a pixel of the picture."""
        if isinstance(where, str):
            self.page.locator(where).click()
        else:
            super().click(where)

    def add_shot(self, number=1):
        """Keep the drawing as the shot of this number."""
        self.click("#add")
        self.page.wait_for_selector(f"#shots img >> nth={number - 1}")

    def teach(self):
        self.click("#teach-button")
        self.page.wait_for_selector("#teach-status progress")  # not what an earlier teaching said
        self.page.wait_for_selector("#teach-status >> text=Learned from")

    def upload(self, *paths):
        """Pictures for step 3."""
        self.page.locator("#pictures input[type=file]").first.set_input_files(paths)
        self.page.wait_for_selector(f"#pictures img >> nth={len(paths) - 1}")

    def pictures(self, selector):
        """The addresses of the pictures shown in a component."""
        return self.page.eval_on_selector_all(f"{selector} img", "all => all.map(one => one.src)")

    def changes(self, selector, act):
        """Do something, and wait until a component shows another first picture."""
        old = self.pictures(selector)[0]
        act()
        self.page.wait_for_function(
            "([selector, old]) => document.querySelector(`${selector} img`)?.src != old", arg=[selector, old]
        )

    def watch(self, selector):
        """From now on, count the different pictures a component shows."""
        self.page.evaluate(
            """selector => {
            window.seen = new Set();
            const look = () => document.querySelectorAll(`${selector} img`).forEach(one => window.seen.add(one.src));
            new MutationObserver(look).observe(document.querySelector(selector),
                {subtree: true, childList: true, attributes: true});
        }""",
            selector,
        )

    def seen(self):
        """How many there have been."""
        return self.page.evaluate("window.seen.size")

    def toast(self):
        """What the newest toast says; it is closed afterwards, if it has not gone by itself on a slow machine."""
        text = self.page.locator(".toast-body").last.inner_text()
        self.page.evaluate("document.querySelectorAll('.toast-close').forEach(button => button.click())")
        self.page.wait_for_selector(".toast-body", state="detached")
        return text

    def download(self, selector, path):
        with self.page.expect_download() as download:
            self.click(selector)
        download.value.save_as(path)
        return path

    def strangers(self):
        """Requests that went to any other host."""
        own = (self.address, "data:", "blob:", self.address.replace("http", "ws"))
        return [url for url in self.requests if not url.startswith(own)]


class Frame:
    """The frame over an upload on screen; points are of the upload's pixels."""

    def __init__(self, page, within):
        self.page, self.within = page, within

    def now(self):
        """(x, y, side, angle)."""
        found = self.page.locator(f"{self.within} .toolkit-framing").get_attribute("data-frame")
        return tuple(map(float, found.split()))

    def places(self, *points):
        """Where points are on the screen, once they can be seen."""
        self.page.locator(f"{self.within} .picture").scroll_into_view_if_needed()
        return self.page.evaluate(
            """([within, points]) => {
                const matrix = document.querySelector(`${within} .picture`).getScreenCTM();
                return points.map(([x, y]) => new DOMPoint(x, y).matrixTransform(matrix)).map(({x, y}) => [x, y]);
            }""",
            [self.within, points],
        )

    def drag(self, start, end):
        (x, y), to = self.places(start, end)
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(*to)
        self.page.mouse.up()

    def touch(self, starts, ends):
        """Put fingers down, move them, and lift them."""
        devtools = self.page.context.new_cdp_session(self.page)
        for kind, points in (("touchStart", starts), ("touchMove", ends), ("touchEnd", [])):
            fingers = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(self.places(*points))]
            devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})
        devtools.detach()


def resident_mb(pid):
    """Memory of a process's own, MB: without files that are mapped, which the system drops and reads again at will."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    raise ValueError(json.dumps(pid))
