"""An auto-shot network as one page that segments pictures and the webcam in any browser, from a disk, without a server.

The page is in page/ beside this file; the network goes in as ONNX, beside ONNX Runtime's WebAssembly.
"""

import base64
import gzip
import json
import tempfile
from pathlib import Path
from string import Template
from typing import Any

from torch import nn

from toolkit.autoshot import onnx_file, runtime
from toolkit.files import check_can_write, replace_when_done

FOLDER = Path(__file__).parent / "page"
SCRIPTS = ("resize", "labels", "network", "page")  # joined to one, each file after those it needs


def export(network: nn.Module, about: dict[str, Any], path: str | Path) -> None:
    """Write one self-contained HTML page; opened, it requests nothing.

    Args:
        network, about: as `onnx_file.export` takes them.
        path: the file, whole or not at all.
    Raises:
        ToolkitError: the packages for ONNX are not installed, or ONNX Runtime Web cannot be fetched, see
            `runtime.onnxruntime_web`.
        WriteError: the file cannot be written.
    """
    check_can_write(path)
    javascript, wasm = runtime.onnxruntime_web()
    with tempfile.TemporaryDirectory() as folder:
        onnx_file.export(network, about, Path(folder) / "parts.onnx")
        model = (Path(folder) / "parts.onnx").read_bytes()
    page = Template(_read("page.html")).substitute(
        style=_read("page.css"),
        script="\n".join(_read(f"{name}.js") for name in SCRIPTS),
        about=json.dumps(about).replace("<", "\\u003c"),  # a class may be called </script>
        version=runtime.VERSION,
        licence=_read("licence.txt"),
        runtime=_packed(javascript),
        wasm=_packed(wasm),
        model=_packed(model),
    )
    with replace_when_done(path) as temporary:
        Path(temporary).write_text(page, "utf-8")


def _read(name):
    return (FOLDER / name).read_text("utf-8")


def _packed(data):
    return base64.b64encode(gzip.compress(data, compresslevel=6, mtime=0)).decode()
