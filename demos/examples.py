"""What there is to click: labelled pictures to teach with, and others to segment, those of the GAN that is chosen."""

from functools import cache
from pathlib import Path

from look import enlarge, note
from PIL import Image

from toolkit import fewshot
from toolkit.experiments.sources import world_of
from toolkit.fewshot import GAN, Shot
from toolkit.pictures import images, labels
from toolkit.worlds import portraits

PORTRAIT_SEEDS = (800_101, 800_102, 800_103, 800_104)
SAMPLE_SEEDS = (26, 57, 63, 52)
# Of the public domain, SUBJECT-what.jpg for what `subject` says: the astronaut is Eileen Collins, by NASA.
PHOTOGRAPHS = Path(__file__).parent / "photographs"


@cache
def labelled(gan: GAN) -> tuple[Shot, ...]:
    """The labelled pictures that come with a GAN."""
    return tuple(fewshot.examples(gan))


def usual_classes(gan: GAN) -> tuple[str, ...]:
    """The parts to begin with: those that a GAN's labelled pictures show, or, where it has none, a portrait's."""
    return labelled(gan)[0].classes if labelled(gan) else labels.PORTRAIT_CLASSES


@cache
def thumbnails(gan: GAN) -> list[Image.Image]:
    """The same to look at, small."""
    return [enlarge(images.to_pil(shot.sample.image), 128) for shot in labelled(gan)]


@cache
def pictures(gan: GAN) -> list[Image.Image]:
    """Pictures to segment: of its world, where the GAN has one, else photographs for anybody to use, and of its own."""
    if world_of(gan) is not None:
        return [images.to_pil(portraits.render(1, 256, seed)[0]) for seed in PORTRAIT_SEEDS]
    drawn = [enlarge(images.to_pil(gan.sample(seed).image)) for seed in SAMPLE_SEEDS]
    return [*map(Image.open, photographs(gan)), *drawn][: len(SAMPLE_SEEDS)]


def photographs(gan: GAN) -> list[Path]:
    """Photographs of what the GAN draws."""
    name = subject(str(gan.metadata.get("name")))
    return [path for path in sorted(PHOTOGRAPHS.glob("*.jpg")) if path.name.startswith(f"{name}-")]


def subject(name: str) -> str:
    """What a GAN draws, by its name: "faces" for "faces-64"."""
    start, _, end = name.rpartition("-")
    return start if end.isdigit() else name


def about_labelled(gan: GAN) -> str:
    """What the labelled pictures are, as HTML."""
    if not labelled(gan):
        return note("No labelled pictures come with this GAN.")
    if world_of(gan) is not None:
        return note("Portraits whose labels are known exactly: click one, then teach.")
    return note("Drawn by the GAN, so nobody real, and labelled by hand: click one, then teach.")


def about_pictures(gan: GAN) -> str:
    """What the pictures to segment are, as HTML."""
    if world_of(gan) is not None:
        return note("Or click a portrait that no network has seen:")
    if photographs(gan):
        return note("Or click a photograph (NASA, of the public domain), or a picture that the GAN drew:")
    return note("Or click a picture that the GAN drew:")
