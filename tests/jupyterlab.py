"""A real JupyterLab in a real browser, for the tests and the benchmark of the widgets."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
import numpy as np
from jupyter_client import BlockingKernelClient
from playwright.sync_api import sync_playwright

from tests import labelling

ROOT = Path(__file__).parent.parent
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 120_000  # milliseconds; a machine may be busy
SETTINGS = {
    "notification": {"fetchNews": "false", "checkForUpdates": False},
    "themes": {"theme": "JupyterLab Light"},
}


@contextmanager
def browser():
    """Debian's Chromium, driven by Playwright."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGS)
        try:
            yield running
        finally:
            running.close()


class Server:
    """A JupyterLab server of its own, with no settings of this machine; a context manager.

    Attributes: address, work (the notebooks' folder), runtime (where kernels leave their addresses).
    """

    def __init__(self, theme="JupyterLab Light"):
        self.home = Path(tempfile.mkdtemp(prefix="jupyterlab-"))
        self.work, self.runtime = self.home / "work", self.home / "runtime"
        self.work.mkdir()
        settings = self.home / "settings" / "@jupyterlab" / "apputils-extension"
        settings.mkdir(parents=True)
        for name, values in (SETTINGS | {"themes": {"theme": theme}}).items():
            (settings / f"{name}.jupyterlab-settings").write_text(json.dumps(values))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        environment = os.environ | {
            "HOME": str(self.home),
            "IPYTHONDIR": str(self.home / "ipython"),
            "JUPYTER_CONFIG_DIR": str(self.home / "config"),
            "JUPYTER_RUNTIME_DIR": str(self.runtime),
            "JUPYTERLAB_SETTINGS_DIR": str(self.home / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(self.home / "workspaces"),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        }
        options = [
            "--no-browser",
            "--allow-root",
            f"--port={self.port}",
            "--ServerApp.port_retries=0",
            f"--notebook-dir={self.work}",
            "--IdentityProvider.token=",
            "--LabApp.news_url=",
            "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        ]
        command = [sys.executable, "-m", "jupyterlab", *options]
        with (self.home / "log").open("w") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        for _ in range(600):
            if self.process.poll() is not None:
                break
            try:
                urllib.request.urlopen(f"{self.address}/api", timeout=5).close()
                return self
            except OSError:
                time.sleep(0.2)
        log = (self.home / "log").read_text()[-2000:]
        self.__exit__()
        raise RuntimeError(f"JupyterLab did not start: {log}")

    def __exit__(self, *_):
        self.process.terminate()  # it ends its kernels first
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.home, ignore_errors=True)


class Notebook(labelling.Labeller):
    """An open notebook whose first cell shows `labeller`; the kernel answers questions about it.

    Args:
        cells: code; the first one has been run when the notebook is there.
        size: (width, height) of the labeller's pictures.
        ratio: device pixels a page pixel.
    """

    def __init__(self, browser, server, cells, size, ratio=1):
        self.size = size
        name = f"sketch-{ratio}.ipynb"
        cells = [nbformat.v4.new_code_cell(code.strip()) for code in cells]
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), server.work / name)
        known = set(server.runtime.glob("kernel-*.json"))
        screen = {"viewport": {"width": 1280, "height": 1000}, "device_scale_factor": ratio, "has_touch": True}
        self.context = browser.new_context(**screen)
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.messages, self.hosts = [], set()
        self.page.on("request", lambda request: self.hosts.add(urlsplit(request.url).hostname))
        self.page.on("websocket", lambda socket: socket.on("framesent", lambda frame: self.messages.append(frame)))
        self.page.goto(f"{server.address}/lab/workspaces/ratio-{ratio}/tree/{name}")
        self.page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
        self.run_cell(0)
        self.wait_for_picture(0)
        (connection,) = set(server.runtime.glob("kernel-*.json")) - known
        self.kernel = BlockingKernelClient(connection_file=str(connection))
        self.kernel.load_connection_file()
        self.kernel.start_channels()
        self.kernel.wait_for_ready(timeout=60)

    def close(self):
        self.kernel.stop_channels()
        self.context.close()

    def run_cell(self, number):
        cell = self.page.locator(".jp-CodeCell").nth(number)
        for _ in range(10):  # JupyterLab drops what is run just before its kernel is connected
            cell.locator(".cm-content").click()
            self.page.keyboard.press("Shift+Enter")
            self.page.wait_for_timeout(1000)
            if cell.locator(".jp-InputPrompt").inner_text() != "[ ]:":
                return
        raise RuntimeError(f"cell {number} did not run")

    def ask(self, expression):
        """The value of a Python expression in the kernel."""
        reply = self.kernel.execute("", user_expressions={"answer": f"repr({expression})"}, reply=True, timeout=60)
        answer = reply["content"]["user_expressions"]["answer"]
        return eval(eval(answer["data"]["text/plain"]))  # noqa: S307 - the repr of a repr, from our own kernel

    def labels(self):
        """What Python holds, (N, H, W), once the page and the kernel have come to rest."""
        self.page.wait_for_timeout(300)
        data = self.ask("labeller.label_maps.numpy().astype('uint8').tobytes()")
        return np.frombuffer(data, np.uint8).reshape(-1, *self.size[::-1])

    def comm_messages(self):
        return sum(b"comm_msg" in (m if isinstance(m, bytes) else m.encode()) for m in self.messages)

    def touch(self, *steps):
        """Fingers on the screen: each step has the place of every finger, and none at the end."""
        devtools = self.context.new_cdp_session(self.page)
        fingers = 0
        for step in [*steps, []]:
            kind = "touchEnd" if len(step) < fingers else "touchMove" if len(step) == fingers else "touchStart"
            points = [dict(zip("xy", self.place(point)), id=i) for i, point in enumerate(step)]
            devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
            fingers = len(step)
        devtools.detach()
