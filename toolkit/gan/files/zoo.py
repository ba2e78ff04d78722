"""Names of GANs -> files of weights: those bundled here, and published ones, downloaded on first use."""

import hashlib
import os
import sys
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import pooch
import requests

from toolkit.errors import ToolkitError
from toolkit.files import replace_when_done
from toolkit.gan.files.checkpoints import convert

DEFAULT = "portraits-64"
BUNDLED = (DEFAULT,)
TIMEOUT = 30  # seconds without a byte


class Published(NamedTuple):
    """A published file of weights: where it is, what it draws, whose it is, and on what terms."""

    url: str | None  # None: its publisher has no address that a program can fetch
    classes: str
    credit: str
    licence: str
    sha256: str | None = None
    size: int | None = None  # bytes
    sha256_from: str = "the file itself"  # who says so


_A = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/"
_SOURCES = _A + "transfer-learning-source-nets/"
_T = "https://nvlabs-fi-cdn.nvidia.com/stylegan2/networks/stylegan2-"
_ADA = "Karras et al. 2020, Training Generative Adversarial Networks with Limited Data (NVIDIA)"
_TF = "Karras et al. 2020, Analyzing and Improving the Image Quality of StyleGAN (NVIDIA)"
_ADA_LICENCE = "NVIDIA Source Code License: research and evaluation only, no commercial use"
_TF_LICENCE = "NVIDIA Source Code License-NC: no commercial use"
_LIST = "a third party's list"

REGISTRY = {
    "ffhq-1024": Published(
        _A + "ffhq.pkl",
        "human faces",
        _ADA,
        _ADA_LICENCE,
        "a205a346e86a9ddaae702e118097d014b7b8bd719491396a162cca438f2f524c",
        381_624_121,
    ),
    "metfaces-1024": Published(_A + "metfaces.pkl", "faces in works of art", _ADA, _ADA_LICENCE),
    "afhqcat-512": Published(_A + "afhqcat.pkl", "cat faces", _ADA, _ADA_LICENCE),
    "afhqdog-512": Published(_A + "afhqdog.pkl", "dog faces", _ADA, _ADA_LICENCE),
    "afhqwild-512": Published(_A + "afhqwild.pkl", "faces of wild animals", _ADA, _ADA_LICENCE),
    "ffhq-256": Published(_SOURCES + "ffhq-res256-mirror-paper256-noaug.pkl", "human faces", _ADA, _ADA_LICENCE),
    "ffhq-512": Published(_SOURCES + "ffhq-res512-mirror-stylegan2-noaug.pkl", "human faces", _ADA, _ADA_LICENCE),
    "celebahq-256": Published(
        _SOURCES + "celebahq-res256-mirror-paper256-kimg100000-ada-target0.5.pkl", "human faces", _ADA, _ADA_LICENCE
    ),
    "stylegan2-ffhq-1024": Published(
        _T + "ffhq-config-f.pkl",
        "human faces",
        _TF,
        _TF_LICENCE,
        "adf127ea7bb8a7788c8bdeda3c9937f7310b669b09ecf799ca53a631ff46948d",
    ),
    "car-512": Published(
        _T + "car-config-f.pkl",
        "cars, in the middle 384 of 512 rows, black above and below",
        _TF,
        _TF_LICENCE,
        "e1618eee2b3ce87c4a3849442f7850ef12a478556bff035c8e09ee7e23b3794c",
        sha256_from=_LIST,
    ),
    "horse-256": Published(
        _T + "horse-config-f.pkl",
        "horses",
        _TF,
        _TF_LICENCE,
        "cbc73372c7d82d095913ca8b4b9f170560777175bd7c3b8a75dd55d70807f32b",
        sha256_from=_LIST,
    ),
    "cat-256": Published(
        _T + "cat-config-f.pkl",
        "cats",
        _TF,
        _TF_LICENCE,
        "08940fd616cfaf6bc7b0286b5d1a0b3f70febb26e136d64716c8d3f5e9bd3883",
        sha256_from=_LIST,
    ),
    "church-256": Published(
        _T + "church-config-f.pkl",
        "churches",
        _TF,
        _TF_LICENCE,
        "4090c5f83b44b83475c84864188aa39a0fb72694492302b7e6af36aad0d18104",
        sha256_from=_LIST,
    ),
    "rosinality-ffhq-256": Published(
        None, "human faces", "rosinality/stylegan2-pytorch, 550000.pt (its code is MIT)", "none stated"
    ),
}


def weights_path(name):
    """Where a GAN's weights are; those of a published one are downloaded and converted on first use.

    Args:
        name: one of `BUNDLED` or `REGISTRY`, or the path of an existing file.
    Returns:
        Path.
    Raises:
        ToolkitError: neither; or no network, or not the file that was expected.
        CheckpointError: what was downloaded is not a StyleGAN2.
    """
    if name in BUNDLED:
        return folder() / f"{name}.safetensors"
    if name in REGISTRY:
        return fetch(name)
    if Path(name).is_file():
        return Path(name)
    raise ToolkitError(
        "weights_path", f"one of {', '.join((*BUNDLED, *REGISTRY))}, or a file", repr(str(name)), "Check the name"
    )


def fetch(name):
    """The converted file of a published GAN, from the cache, or from its publisher the first time.

    A checksum nobody has published is noted on first use, and holds from then on.

    Args:
        name: one of `REGISTRY`.
    Returns:
        Path of a .safetensors file in `cache_folder()`.
    Raises:
        ToolkitError: no network, a file of another size or checksum, or one that cannot be fetched.
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
    noted = path.with_suffix(".sha256")
    sha256 = entry.sha256 or (noted.read_text("utf-8").strip() if noted.is_file() else None)
    download = _download(name, entry, sha256, path.parent)
    try:
        found = sha256 or pooch.file_hash(str(download))
        facts = {
            "name": name,
            "draws": entry.classes,
            "licence": entry.licence,
            "credit": entry.credit,
            "url": entry.url,
            "sha256": found,
        }
        convert(download, path, facts)
    finally:
        download.unlink(missing_ok=True)  # all that is ever used of it is in the converted file
    if sha256 is None:
        with replace_when_done(noted) as temporary:
            Path(temporary).write_text(found, "utf-8")
        print(f"{name}: no published checksum; noted {found} of this download.", file=sys.stderr)
    return path


def _download(name, entry, sha256, target):
    """The file as published, whole and checked, in the folder `target`."""
    got, fix = None, f"Try again later, or download {entry.url} by hand and pass the file's path"
    pooch.get_logger().setLevel("WARNING")
    fetcher = pooch.HTTPDownloader(progressbar=True, timeout=TIMEOUT)
    key = hashlib.sha256(entry.url.encode()).hexdigest()[:8]
    try:
        found = Path(
            pooch.retrieve(
                entry.url,
                sha256 and f"sha256:{sha256}",
                f"{name}-{key}{Path(entry.url).suffix}",
                target,
                downloader=fetcher,
            )
        )
    except requests.exceptions.HTTPError as error:
        got = f"HTTP status {error.response.status_code}"
    except requests.exceptions.RequestException as error:
        got = f"no connection, or one that broke off ({type(error).__name__})"
    except ValueError:  # pooch's, of a checksum
        expected = sha256 if entry.sha256 else f"{sha256}, noted at the first download,"
        got, fix = "another file", f"Do not use it. If {entry.url} has changed, the checksum {expected} must too"
    if got:
        raise ToolkitError("load_gan", f"to download {name} from {entry.url}", got, fix)
    if entry.size not in (None, found.stat().st_size):
        size = found.stat().st_size
        found.unlink()
        raise ToolkitError("load_gan", f"{entry.size} bytes from {entry.url}", f"{size} bytes", fix)
    return found


def folder():
    """Where the bundled weights are: Path."""
    try:
        return Path(str(resources.files("toolkit.weights")))
    except ModuleNotFoundError:  # a bare checkout, not installed: weights/ lies beside the package
        return Path(__file__).parents[3] / "weights"


def cache_folder():
    """Where downloads and what was worked out once are kept: Path; $TOOLKIT_CACHE, or the user's cache."""
    return Path(os.environ.get("TOOLKIT_CACHE") or pooch.os_cache("one-shot-parts"))
