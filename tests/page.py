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

ROOT = Path(__file__).parent.parent
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
BROWSER_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]  # fmt: skip


@contextmanager
def server(*flags, app=ROOT / "demos" / "app.py", **environment):
    """Serve the page on a free port: yields (address, process)."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, str(app), "--port", str(port), *flags]
    process = subprocess.Popen(
        command, cwd=app.parent, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip
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


class Visitor:
    """One tab of the page and what a person does there."""

    def __init__(self, browser, address, **options):
        self.address, self.requests = address, []
        self.page = browser.new_context(accept_downloads=True, **options).new_page()
        self.page.set_default_timeout(120_000)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(address)
        self.page.wait_for_selector("#editor .pixi-target canvas")
        self.page.wait_for_timeout(2500)

    def close(self):
        self.page.context.close()

    def on_screen(self, x, y, size=512):
        """Where a pixel of the canvas is in the window."""
        box = self.page.locator("#editor .pixi-target canvas").bounding_box()
        zoom = float(self.page.locator("#editor .zoom-number span").inner_text().strip("%")) / 100
        return box["x"] + box["width"] / 2 + (x - size / 2) * zoom, box["y"] + box["height"] / 2 + (y - size / 2) * zoom

    def choose(self, number):
        """Take the brush of a class, by its name in the legend."""
        self.page.locator(f'#legend [data-class="{number}"]').click()
        self.page.wait_for_selector(f'#legend .chosen[data-class="{number}"]')

    def stroke(self, *points):
        """Draw a line with the mouse."""
        self.page.locator("#editor").scroll_into_view_if_needed()
        self.page.mouse.move(*self.on_screen(*points[0]))
        self.page.mouse.down()
        for point in points[1:]:
            self.page.mouse.move(*self.on_screen(*point), steps=6)
        self.page.mouse.up()
        self.page.wait_for_timeout(300)

    def draw_face(self):
        """Eyes, mouth and nose of the face a new tab shows."""
        self.choose(1)
        self.stroke((185, 225), (225, 225))
        self.stroke((290, 225), (330, 225))
        self.choose(2)
        self.stroke((230, 340), (285, 340))
        self.choose(3)
        self.stroke((256, 240), (256, 295))

    def click(self, selector):
        self.page.locator(selector).click()

    def teach(self):
        self.click("#teach-button")
        self.page.wait_for_selector("#teach-status >> text=Learned from")

    def pictures(self, selector):
        """The addresses of the pictures shown in a component."""
        return self.page.eval_on_selector_all(f"{selector} img", "all => all.map(one => one.src)")

    def toast(self):
        """What the newest toast says; it is closed afterwards."""
        toast = self.page.locator(".toast-body").last
        text = toast.inner_text()
        toast.locator("button").first.click()
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


def resident_mb(pid):
    """Resident memory of a process, MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise ValueError(json.dumps(pid))
