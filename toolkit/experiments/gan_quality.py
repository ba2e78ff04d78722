"""Quality of a GAN trained on a procedural world: Fréchet distance, and how often each part appears."""

from pathlib import Path
from typing import Any

from toolkit import metrics
from toolkit.errors import check_count
from toolkit.experiments.parser import parse, train_parser
from toolkit.experiments.scoring import score
from toolkit.experiments.sources import EVALUATION_SEED, World, world_named
from toolkit.files import check_can_write
from toolkit.gan.model import GAN
from toolkit.pictures import images


def gan_quality(
    gan: GAN,
    *,
    world: str = "portraits",
    num: int = 2000,
    parser_steps: int = 800,
    seed: int = 0,
    out: str | Path | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Compare a GAN's samples with renders of its world, by a parser trained on that world.

    Args:
        gan: a `fewshot.GAN`; its untruncated samples are measured.
        num: renders, and samples.
        parser_steps: training steps, of 32 renders each.
        seed: of the parser and the samples.
        out: PNG to write: renders on the left, uncurated samples on the right; None writes none.
    Returns:
        dict: frechet (renders to samples), frechet_renders (renders to other renders: the floor),
        area (percent of pixels by class, in renders and in samples), present (percent of pictures
        that show the part), parser_iou (percent, on unseen renders).
    """
    check_count("gan_quality", "num", num, 2)  # before training the parser; one picture has no covariance
    if out is not None:
        check_can_write(out)
    module, size = world_named(world), gan.resolution
    net = train_parser(World(world), size, parser_steps, seed, progress)
    renders, truth = module.render(num, size, EVALUATION_SEED)
    others, _ = module.render(num, size, EVALUATION_SEED + num)
    samples = gan.sample(seed, num, truncation_psi=1.0).image
    found = {name: parse(net, x) for name, x in (("renders", renders), ("others", others), ("samples", samples))}
    moments = {name: (f.double().mean(0), f.double().T.cov()) for name, (f, _) in found.items()}
    parsed = {name: found[name][1] for name in ("renders", "samples")}
    if out is not None:
        sheets = [images.grid(pictures[:40], columns=5) for pictures in (renders, samples)]
        images.save_png(out, images.grid(sheets, columns=2, gap=24))
    return {
        "gan": gan.metadata.get("name"),
        "num": num,
        "seed": seed,
        "frechet": round(metrics.frechet_distance(*moments["renders"], *moments["samples"]), 3),
        "frechet_renders": round(metrics.frechet_distance(*moments["renders"], *moments["others"]), 3),
        "parser_iou": score(parsed["renders"], truth, module.CLASSES)["weighted_iou"],
        "area": {k: _shares(m, module.CLASSES, lambda m, c: (m == c).float().mean()) for k, m in parsed.items()},
        "present": {
            k: _shares(m, module.CLASSES, lambda m, c: (m == c).any(2).any(1).float().mean()) for k, m in parsed.items()
        },
    }


def _shares(label_map, classes, share):
    return {name: round(100 * float(share(label_map, c)), 1) for c, name in enumerate(classes)}
