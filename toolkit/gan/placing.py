"""Where in given pictures lies what a GAN is asked about: found by its framer, given, or as its own pictures lie."""

from typing import Any, NamedTuple

from PIL.Image import Image
from torch import Tensor

from toolkit.errors import ImageError, ToolkitError
from toolkit.pictures import images
from toolkit.pictures.uploads import open_rgb
from toolkit.projection.framing import Placed


class Place(NamedTuple):
    """A picture to project, how it is framed, and whether the framer said so."""

    source: Any  # what `images.frame_image` takes
    align: images.Align | str
    found: bool


def located(gan: Any, source: Any, call: str) -> tuple[Image, list[Placed]]:
    """A picture, opened, and what the GAN's framer finds in it, the surest first.

    Args:
        gan: a `GAN`.
        source: what `images.load_image` takes, but no tensor.
        call: the public call to name in errors.
    Returns:
        The picture, upright and in RGB, and a list of `Placed`, empty where nothing was found.
    Raises:
        ToolkitError: the GAN has no framer. ImageError: not a picture.
    """
    if gan.framer is None:
        got = f"none beside {gan.path or gan.metadata.get('name', 'it')}"
        raise ToolkitError(call, "a GAN with a framer", got, "Make one with train-framer, or align by hand")
    picture = open_rgb(source, call)
    return picture, gan.framer.find(picture)


def place(
    gan: Any, source: Any, align: images.Align | str | list[images.Align | str] = "centre", all: bool = False
) -> list[Place]:
    """What to project, and where it lies: "auto" is looked up, and "centre" is as the GAN's own pictures.

    Args:
        gan: a `GAN`.
        source, align, all: as `GAN.projecting` takes them.
    Returns:
        list of `Place`, in the order of the pictures; a picture stands there as often as something was found in it.
    Raises:
        ImageError: nothing was found. ToolkitError: the GAN has no framer, or not an align for each picture.
    """
    sources = list(source) if isinstance(source, (list, tuple)) else [source]
    aligns = align if isinstance(align, list) else [align] * len(sources)
    if len(aligns) != len(sources):
        want, got = f"an align for each of {len(sources)} pictures", f"{len(aligns)}"
        raise ToolkitError("project", want, got, "Give a list as long as that of the pictures")
    placed: list[Place] = []
    for one, how in zip(sources, aligns, strict=True):
        if how != "auto" or isinstance(one, Tensor):  # a tensor fills its frame
            placed.append(Place(one, images.FITS[gan.fit] if how in ("auto", "centre") else how, False))
            continue
        picture, found = located(gan, one, "project")
        if not found:
            raise ImageError(
                "project",
                f"a picture of what {gan.metadata.get('name', 'this GAN')} draws",
                f"nothing like it in {picture.width}x{picture.height} pixels",
                'Give its frame as align, or align="centre"',
            )
        placed += [Place(picture, frame, True) for frame, _ in (found if all else found[:1])]
    return placed
