"""The published StyleGAN2s we know: address, what each draws, authors and licence.

This was written without access to the servers; `sha256_from` names the source of each checksum.
"""

from __future__ import annotations

from typing import NamedTuple


class Published(NamedTuple):
    """A published file of weights.

    url: None if there is no address that a program can fetch; mirrors: tried in turn if it fails, and
    accepted only with the right checksum; size: bytes; sha256_from: the source of the checksum.
    """

    url: str | None
    classes: str
    credit: str
    licence: str
    sha256: str | None = None
    size: int | None = None
    sha256_from: str = "the file itself"
    mirrors: tuple[str, ...] = ()


_LISTING = "a public listing of a mirror"

# stylegan2-ada-pytorch
_ADA = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/"
_SOURCES = _ADA + "transfer-learning-source-nets/"
_ADA_TERMS = (
    "Karras et al. 2020, Training Generative Adversarial Networks with Limited Data (NVIDIA)",
    "NVIDIA Source Code License: research and evaluation only, no commercial use",
)

# StyleGAN2 as first published, for TensorFlow
_TF = "https://nvlabs-fi-cdn.nvidia.com/stylegan2/networks/"
_TF_MIRROR = "https://github.com/clibdev/stylegan2-pytorch/releases/latest/download/"
_TF_LIST = "a third party's list (github.com/clibdev/stylegan2-pytorch)"
_TF_TERMS = (
    "Karras et al. 2020, Analyzing and Improving the Image Quality of StyleGAN (NVIDIA)",
    "NVIDIA Source Code License-NC: no commercial use",
)

# NVIDIA's second address
_NGC = "https://api.ngc.nvidia.com/v2/models/nvidia/research/stylegan2/versions/1/files/stylegan2-"
_NGC_TERMS = (
    "Karras et al. 2020 and 2021, StyleGAN2 in NVIDIA's catalogue NGC",
    "NVIDIA Source Code License: research and evaluation only, no commercial use",
)
_NGC_DRAWS = {
    "ffhq-1024x1024": "human faces",
    "ffhq-512x512": "human faces",
    "ffhq-256x256": "human faces",
    "ffhqu-1024x1024": "human faces, unaligned: less sensitive to how a picture is cropped",
    "ffhqu-256x256": "human faces, unaligned: less sensitive to how a picture is cropped",
    "metfaces-1024x1024": "faces in works of art",
    "metfacesu-1024x1024": "faces in works of art, unaligned",
    "afhqv2-512x512": "faces of cats, dogs and wild animals",
    "afhqcat-512x512": "cat faces",
    "afhqdog-512x512": "dog faces",
    "afhqwild-512x512": "faces of wild animals",
    "brecahad-512x512": "tissue under the microscope",
    "celebahq-256x256": "human faces",
    "lsundog-256x256": "dogs",
    "cifar10-32x32": "animals and vehicles",
}
_NGC_SHA256 = {"ffhq-512x512": "d2b1c92f41ce8a64c55f7a75ef06c4c0eef9e17b1eb29aae8c10fb37b3e60478"}

# Self-distilled StyleGAN, trained on uncurated internet photographs
_DISTILLED = "https://storage.googleapis.com/self-distilled-stylegan/"
_DISTILLED_TERMS = (
    "Mokady et al. 2022, Self-Distilled StyleGAN: Towards Generation from Internet Photos",
    "CC-BY-4.0: free to use, with credit to its authors",
)


def _tensorflow(name: str, classes: str, sha256: str, size: int, sha256_from: str = _TF_LIST) -> Published:
    file = f"stylegan2-{name}-config-f.pkl"
    return Published(_TF + file, classes, *_TF_TERMS, sha256, size, sha256_from, (_TF_MIRROR + file,))


def _distilled(name: str, sha256: str | None = None, size: int | None = None) -> Published:
    classes = name.partition("_")[0]
    return Published(f"{_DISTILLED}{name}_pytorch.pkl", classes, *_DISTILLED_TERMS, sha256, size, _LISTING)


REGISTRY = {
    "ffhq-1024": Published(
        _ADA + "ffhq.pkl",
        "human faces",
        *_ADA_TERMS,
        "a205a346e86a9ddaae702e118097d014b7b8bd719491396a162cca438f2f524c",
        381_624_121,
    ),
    "metfaces-1024": Published(
        _ADA + "metfaces.pkl",
        "faces in works of art",
        *_ADA_TERMS,
        "880a460d011a3696c088f58f5844b44271b17903963f2671f96f72dfbce5f76f",
        sha256_from=_LISTING,
    ),
    "afhqcat-512": Published(
        _ADA + "afhqcat.pkl",
        "cat faces",
        *_ADA_TERMS,
        "17a83abee464242f8bb40dc6363d33c2fb087066b68fc0147677fdbf21f7a7a9",
        sha256_from=_LISTING,
    ),
    "afhqdog-512": Published(
        _ADA + "afhqdog.pkl",
        "dog faces",
        *_ADA_TERMS,
        "f124ff3f23206052473a7212cbc1f4e095a73c231500411e9c3b81a11eac3662",
        sha256_from=_LISTING,
    ),
    "afhqwild-512": Published(_ADA + "afhqwild.pkl", "faces of wild animals", *_ADA_TERMS),
    "ffhq-256": Published(_SOURCES + "ffhq-res256-mirror-paper256-noaug.pkl", "human faces", *_ADA_TERMS),
    "ffhq-512": Published(_SOURCES + "ffhq-res512-mirror-stylegan2-noaug.pkl", "human faces", *_ADA_TERMS),
    "celebahq-256": Published(
        _SOURCES + "celebahq-res256-mirror-paper256-kimg100000-ada-target0.5.pkl", "human faces", *_ADA_TERMS
    ),
    "stylegan2-ffhq-1024": _tensorflow(
        "ffhq",
        "human faces",
        "adf127ea7bb8a7788c8bdeda3c9937f7310b669b09ecf799ca53a631ff46948d",
        381_673_535,
        "the file itself",
    ),
    "car-512": _tensorflow(
        "car",
        "cars, in the middle 384 of 512 rows, black above and below",
        "e1618eee2b3ce87c4a3849442f7850ef12a478556bff035c8e09ee7e23b3794c",
        364_027_523,
    ),
    "horse-256": _tensorflow(
        "horse", "horses", "cbc73372c7d82d095913ca8b4b9f170560777175bd7c3b8a75dd55d70807f32b", 357_418_027
    ),
    "cat-256": _tensorflow(
        "cat", "cats", "08940fd616cfaf6bc7b0286b5d1a0b3f70febb26e136d64716c8d3f5e9bd3883", 357_418_027
    ),
    "church-256": _tensorflow(
        "church", "churches", "4090c5f83b44b83475c84864188aa39a0fb72694492302b7e6af36aad0d18104", 357_418_027
    ),
    "self-distilled-horses-256": _distilled(
        "horses_256", "f100dc32e2731a293f3b31a9038416f72aa5cc30555b3315a82e19c065f81b0c", 357_336_721
    ),
    **{
        f"self-distilled-{name.replace('_', '-')}": _distilled(name)
        for name in ("bicycles_256", "dogs_1024", "elephants_512", "giraffes_512", "lions_512", "parrots_512")
    },
    **{
        f"ngc-{name.partition('x')[0]}": Published(
            f"{_NGC}{name}.pkl", classes, *_NGC_TERMS, _NGC_SHA256.get(name), sha256_from=_LISTING
        )
        for name, classes in _NGC_DRAWS.items()
    },
    "rosinality-ffhq-256": Published(
        None, "human faces", "rosinality/stylegan2-pytorch, 550000.pt (its code is MIT)", "none stated"
    ),
}
