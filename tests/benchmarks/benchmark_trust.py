"""Trust: does it tell pictures the GAN could make from pictures it could not?"""

import importlib.util
import json as json_
from pathlib import Path

import torch
import torch.nn.functional as F

from toolkit import experiments, fewshot
from toolkit.errors import ToolkitError
from toolkit.pictures.images import load_image
from toolkit.projection import trust
from toolkit.show import plots

PHOTOGRAPHS = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "chessboard_GRAY.png",
    "chelsea.png",
    "clock_motion.png",
    "coffee.png",
    "coins.png",
    "color.png",
    "cell.png",
    "grass.png",
    "gravel.png",
    "horse.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "moon.png",
    "motorcycle_left.png",
    "page.png",
    "phantom.png",
    "retina.jpg",
    "rocket.jpg",
    "text.png",
)


def outsiders(portraits, num, seed=0):
    """Pictures no portrait GAN could make, by kind: dict name -> (n, 3, R, R) in [-1, 1].

    Args:
        portraits: (N, 3, R, R), N >= num: what the made-up kinds start from.
        num: pictures of each kind but the photographs, of which there are as many as there are.
    """
    rng = torch.Generator().manual_seed(seed)
    size, some = portraits.shape[-1], portraits[:num]
    ramp = torch.linspace(-1, 1, size)
    slopes, ends = torch.rand(num, 2, generator=rng) * 2 - 1, torch.rand(2, num, 3, generator=rng) * 2 - 1
    along = (slopes[:, :1, None] * ramp[None, None] + slopes[:, 1:, None] * ramp[None, :, None] + 2) / 4
    patch = size // 4
    patches = F.unfold(some, patch, stride=patch)
    order = torch.stack([torch.randperm(16, generator=rng) for _ in range(num)])
    shuffled = patches.gather(2, order[:, None].expand_as(patches))
    far = size // 2
    kinds = {
        "noise": torch.rand(num, 3, size, size, generator=rng) * 2 - 1,
        "flat": (torch.rand(num, 3, 1, 1, generator=rng) * 2 - 1).expand(-1, -1, size, size).clone(),
        "gradient": torch.lerp(ends[0][..., None, None], ends[1][..., None, None], along[:, None]),
        "shuffled": F.fold(shuffled, (size, size), patch, stride=patch),
        "upside-down": some.flip(2),
        "shifted": torch.stack([_shift(p, far if i % 2 else -far, far // 2) for i, p in enumerate(some)]),
    }
    if photographs := _photographs(size):
        kinds["photograph"] = torch.cat(photographs)
    return kinds


def _shift(picture, right, down):
    """A picture moved by whole pixels, its edges repeated."""
    size = picture.shape[-1]
    rows = (torch.arange(size) - down).clamp(0, size - 1)
    columns = (torch.arange(size) - right).clamp(0, size - 1)
    return picture[:, rows][:, :, columns]


def _photographs(size):
    package = importlib.util.find_spec("skimage")
    if package is None:
        return []
    found, folder = [], Path(package.origin).parent / "data"
    for name in PHOTOGRAPHS:
        try:
            found.append(load_image(folder / name, size))
        except ToolkitError:  # a release that does not ship it
            continue
    return found


def measure(gan, num=200):
    """Share of pictures under `trust.LOW`, in percent: in-world, out of world, and each kind of the latter."""
    image, _ = experiments.world_named("portraits").render(num, gan.resolution, experiments.EVALUATION_SEED + 5000)
    kinds = {"in-world": image, **outsiders(image, round((num - len(PHOTOGRAPHS) + 4) / 6))}
    low = {}
    for name, pictures in kinds.items():
        value = trust.trust(gan.measure(pictures, 0), gan.calibration(0))  # the guess is what is judged
        low[name] = (len(pictures), int((value < trust.LOW).sum()))
    outside = [v for k, v in low.items() if k != "in-world"]
    low["out of world"] = tuple(map(sum, zip(*outside)))
    return [{"pictures": k, "num": n, "low_trust": round(100 * bad / n, 1)} for k, (n, bad) in low.items()]


def main(json=False, num=200):
    """Print the table."""
    rows = measure(fewshot.load_gan("portraits-64"), num)
    if json:
        print(json_.dumps({"low": trust.LOW, "rows": rows}))
        return
    print(f"percent of pictures with trust under {trust.LOW}")
    print(plots.table([tuple(rows[0]), *(tuple(row.values()) for row in rows)]))
    print("wanted: in-world at most 7, out of world at least 90")
