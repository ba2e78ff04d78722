"""Find weights files by name: those in weights/, and published ones, downloaded on first use."""

from __future__ import annotations

import hashlib
import os
import sys
from importlib import resources
from pathlib import Path

import pooch
import requests

from toolkit.errors import CheckpointError, ToolkitError
from toolkit.files import read_metadata, replace_when_done
from toolkit.gan.files.checkpoints import convert
from toolkit.gan.files.registry import REGISTRY, Published

DEFAULT = "faces-128"
TIMEOUT = 30  # seconds without data


def weights_path(name: str | os.PathLike, call: str = "load_gan") -> Path:
    """Path of a GAN's weights; those of a published one are downloaded and converted on first use.

    Args:
        name: one of `bundled()` or `REGISTRY`, or the path of an existing file.
        call: the public call to name in errors.
    Returns:
        Path.
    Raises:
        ToolkitError: unknown name and no such file; or no network, or a file of another size or checksum.
        CheckpointError: what was downloaded is not a StyleGAN2.
    """
    if name in REGISTRY:
        return fetch(name)
    if is_name(name):
        return folder() / f"{name}.safetensors"
    if Path(name).is_file():
        return Path(name)
    known = ", ".join((*bundled(), *REGISTRY))
    raise ToolkitError(call, f"one of {known}, or a file", repr(str(name)), "Check the name")


def is_name(name: str | os.PathLike) -> bool:
    """Whether it is the name of a GAN in `folder()` or `REGISTRY`, not a path."""
    bare = Path(name).name == str(name)
    return bare and (str(name) in REGISTRY or (folder() / f"{name}.safetensors").is_file())


def bundled() -> tuple[str, ...]:
    """Names of the GANs in `folder()`, including those that `bundle` put there; the default first."""
    found = []
    for path in sorted(folder().glob("*.safetensors")):
        try:
            read_metadata(path, "gan", "bundled")
            found.append(path.stem)
        except CheckpointError:  # an encoder, a segmenter
            continue
    return tuple(sorted(found, key=lambda name: name != DEFAULT))


def fetch(name: str) -> Path:
    """The converted file of a published GAN: from the cache, or downloaded on first use.

    Where no checksum is published, that of the first download is stored and required from then on.

    Args:
        name: one of `REGISTRY`.
    Returns:
        Path of a .safetensors file in `cache_folder()`.
    Raises:
        ToolkitError: no network, a file of another size or checksum, one that cannot be fetched, or a cache
            that cannot be written.
        CheckpointError: what was downloaded is not a StyleGAN2.
    """
    entry, path = REGISTRY[name], cache_folder() / "gans" / f"{name}.safetensors"
    if path.is_file():
        return path
    if entry.url is None:
        raise ToolkitError(
            "load_gan",
            "a GAN with a public address",
            f"{name}: {entry.credit}",
            "Download it by hand and pass the file's path",
        )
    print(f"{name}: {entry.classes}. {entry.credit}.\nLicence: {entry.licence}.", file=sys.stderr)
    try:
        _fetch(name, entry, path)
    except OSError as error:
        raise ToolkitError(
            "load_gan",
            f"room for {name} in the cache",
            f"{path.parent} ({error.strerror or type(error).__name__})",
            "Set TOOLKIT_CACHE to a folder that can be written",
        ) from error
    return path


def _fetch(name: str, entry: Published, path: Path) -> None:
    noted = path.with_suffix(".sha256")
    known, known_from = entry.sha256, entry.sha256_from
    if known is None and noted.is_file():
        known, known_from = noted.read_text("utf-8").strip(), "the first download"
    url, download = _download(name, entry, known, known_from, path.parent)
    try:
        sha256 = known or pooch.file_hash(str(download))
        facts = {
            "name": name,
            "draws": entry.classes,
            "licence": entry.licence,
            "credit": entry.credit,
            "url": url,
            "sha256": sha256,
            "sha256_from": known_from if known else "this download",
        }
        convert(download, path, facts)
    finally:
        download.unlink(missing_ok=True)  # only the converted file is used
    if known is None:
        with replace_when_done(noted) as temporary:
            Path(temporary).write_text(sha256, "utf-8")
        print(f"{name}: no published checksum; noted {sha256} of this download.", file=sys.stderr)
    else:
        print(f"{name}: its sha256 is {sha256}, which is that of {known_from}.", file=sys.stderr)


def _download(name: str, entry: Published, sha256: str | None, sha256_from: str, target: Path) -> tuple[str, Path]:
    """The address that worked, and the downloaded file, checked, in the folder `target`."""
    urls, failed = [str(entry.url), *entry.mirrors], []
    for url in urls:
        got, found = _attempt(url, name, entry, sha256, target)
        if found:
            return url, found
        failed.append(got)
        if url != urls[-1]:
            print(f"{name}: {url} gave {got}; trying the next address.", file=sys.stderr)
    where = " or ".join(urls)
    fix = f"Try again later, or download {entry.url} by hand and pass the file's path"
    if "another file" in failed:
        fix = f"Do not use it. If it has changed there, the checksum {sha256}, of {sha256_from}, must too"
    raise ToolkitError("load_gan", f"to download {name} from {where}", ", then ".join(failed), fix)


def _attempt(url: str, name: str, entry: Published, sha256: str | None, target: Path) -> tuple[str, Path | None]:
    """What went wrong, and the file or None."""
    file = f"{name}-{hashlib.sha256(url.encode()).hexdigest()[:8]}{Path(url).suffix}"
    wrong, found = download(url, sha256 and f"sha256:{sha256}", target / file)
    if found is not None and entry.size not in (None, size := found.stat().st_size):
        found.unlink()
        return f"{size} bytes instead of {entry.size}", None
    return wrong, found


def download(url: str, checksum: str | None, path: Path) -> tuple[str, Path | None]:
    """Fetch a file with a bar on stderr, unless it is there already with the right checksum.

    Args:
        url: its address.
        checksum: "sha256:..." or "sha512:..." in hexadecimal; None takes any file.
        path: where to keep it.
    Returns:
        what went wrong in a few words, "" if nothing did; path, or None.
    Raises:
        OSError: it cannot be written there.
    """
    pooch.get_logger().setLevel("WARNING")
    fetcher = pooch.HTTPDownloader(progressbar=True, timeout=TIMEOUT)
    try:
        return "", Path(pooch.retrieve(url, checksum, path.name, path.parent, downloader=fetcher))
    except requests.exceptions.HTTPError as error:
        return f"HTTP status {getattr(error.response, 'status_code', 'unknown')}", None
    except requests.exceptions.RequestException as error:
        return f"no connection, or one that broke off ({type(error).__name__})", None
    except ValueError:  # pooch: the checksum differs
        return "another file", None


def folder() -> Path:
    """The folder of the bundled weights."""
    try:
        return Path(str(resources.files("toolkit.weights")))
    except ModuleNotFoundError:  # a checkout that is not installed: weights/ is beside the package
        return Path(__file__).parents[3] / "weights"


def cache_folder() -> Path:
    """The folder for downloads and cached results: $TOOLKIT_CACHE, or the user's cache."""
    return Path(os.environ.get("TOOLKIT_CACHE") or pooch.os_cache("one-shot-parts"))
