"""What there is to click: labelled pictures to teach with, and others to segment, those of the GAN that is chosen."""

from functools import cache

from look import enlarge, note
from PIL import Image

from toolkit import fewshot
from toolkit.experiments.sources import world_of
from toolkit.fewshot import GAN, Shot
from toolkit.pictures import images
from toolkit.worlds import portraits

PORTRAIT_SEEDS = (800_101, 800_102, 800_103, 800_104)
SAMPLE_SEEDS = (54, 52, 71, 50)


@cache
def labelled(gan: GAN) -> tuple[Shot, ...]:
    """The labelled pictures that come with a GAN."""
    return tuple(fewshot.examples(gan))


@cache
def thumbnails(gan: GAN) -> list[Image.Image]:
    """The same to look at, small."""
    return [enlarge(images.to_pil(shot.sample.image), 128) for shot in labelled(gan)]


@cache
def pictures(gan: GAN) -> list[Image.Image]:
    """Pictures to segment: of its world, where the GAN has one, else of its own."""
    if world_of(gan) is not None:
        return [images.to_pil(portraits.render(1, 256, seed)[0]) for seed in PORTRAIT_SEEDS]
    return [enlarge(images.to_pil(gan.sample(seed).image)) for seed in SAMPLE_SEEDS]


def about_labelled(gan: GAN) -> str:
    """What the labelled pictures are, as HTML."""
    if not labelled(gan):
        return note("No labelled pictures come with this GAN.")
    if world_of(gan) is not None:
        return note("Portraits whose labels are known exactly: click one, then teach.")
    return note("Drawn by the GAN, so nobody real, and labelled by hand: click one, then teach.")


def about_pictures(gan: GAN) -> str:
    """What the pictures to segment are, as HTML."""
    world = world_of(gan) is not None
    return note("Or click a portrait that no network has seen:" if world else "Or click a picture that the GAN drew:")
