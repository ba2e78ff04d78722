"""ONNX Runtime for browsers: fetched from npm's registry on first use, checked, and kept in the cache."""

import os
import re
import tarfile
from pathlib import Path

from toolkit.errors import ToolkitError
from toolkit.gan.files import zoo

VERSION = "1.30.0"
# As the registry states it.
SHA512 = (
    "ab4cbe26baedba45d2cec05610c71c55fa97db92d19a8b171c5f8269126683ca"
    "590a5cdc57bb2f35ce2b298de32f4d956fb42644c0ecd528a0a91e025c07ca61"
)
REGISTRY = "https://registry.npmjs.org"
RUNTIME, WASM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"  # the smallest there is: CPU alone


def onnxruntime_web() -> tuple[bytes, bytes]:
    """ONNX Runtime Web's JavaScript module and its WebAssembly, from npm's package (33 MB, downloaded once).

    Raises:
        ToolkitError: no network, a file of another checksum, or a cache that cannot be written.
    """
    name = f"onnxruntime-web-{VERSION}.tgz"
    url, path = f"{registry()}/onnxruntime-web/-/{name}", zoo.cache_folder() / "npm" / name
    try:
        wrong, package = zoo.download(url, f"sha512:{SHA512}", path)
    except OSError as error:
        reason, fix = error.strerror or type(error).__name__, "Set TOOLKIT_CACHE to a folder that can be written"
        raise ToolkitError("export_html", f"room for {name} in the cache", f"{path.parent} ({reason})", fix) from error
    if package is None:
        fix = f"Try again with a connection, or put the file at {path}"
        if wrong == "another file":
            fix = "Do not use it: set NPM_CONFIG_REGISTRY to a registry that has the right one"
        raise ToolkitError("export_html", f"to download {url}", wrong, fix)
    with tarfile.open(package) as archive:
        return _read(archive, RUNTIME), _read(archive, WASM)


def registry() -> str:
    """The npm registry that the user has set, as npm finds it: in the environment, else in ~/.npmrc; else npm's own."""
    said = {key.lower(): value for key, value in os.environ.items()}
    if found := said.get("npm_config_registry"):
        return found.rstrip("/")
    own = Path(said.get("npm_config_userconfig") or Path.home() / ".npmrc")
    lines = own.read_text("utf-8", errors="replace") if own.is_file() else ""
    named = re.search(r"^\s*registry\s*=\s*(\S+)", lines, re.MULTILINE)
    return (named[1] if named else REGISTRY).rstrip("/")


def _read(archive, file):
    return archive.extractfile(f"package/dist/{file}").read()
