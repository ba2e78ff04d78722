"""Where a one-shot segmenter loses accuracy: in the GAN and projection, or in the segmenter itself."""

from pathlib import Path

from toolkit import fewshot
from toolkit.errors import check_count
from toolkit.experiments.evaluation import evaluate
from toolkit.experiments.material import test_pictures
from toolkit.experiments.parser import parse, train_parser
from toolkit.experiments.projection import CACHE
from toolkit.experiments.scoring import score
from toolkit.experiments.sources import Collection, World
from toolkit.experiments.study import Study
from toolkit.fewshot import GAN, Shot
from toolkit.pictures import labels


def gap(
    gan: GAN,
    *,
    world: str = "portraits",
    num_test: int = 200,
    num_steps: int | None = None,
    parser_steps: int = 800,
    seed: int = 0,
    cache: Path | None = CACHE,
    source: World | Collection | None = None,
    progress: bool = False,
) -> dict:
    """Where a one-shot segmenter loses accuracy: in the GAN and projection, or in the segmenter itself.

    Args:
        gan, world, num_test, num_steps, seed, cache, source: as in `evaluate`, all classes, one shot, default network.
        parser_steps: as in `gan_quality`.
    Returns:
        dict of weighted IoU in percent: parser_on_images (this parser's upper bound) and
        parser_on_reconstructions (its upper bound after projection), for all classes and, for faces, for eyes,
        mouth and nose alone; segmenter_vs_parser (the segmenter against the parser on generated pictures, without
        projection) and segmenter (end to end); psnr in dB.
    """
    check_count("gap", "num_test", num_test)  # before training the parser
    source = source or World(world)
    net = train_parser(source, gan.resolution, parser_steps, seed, progress)
    test, truth = test_pictures(Study(gan, source, num_test, num_steps, cache, progress=progress))
    generated = gan.sample(seed, num_test, truncation_psi=1.0)
    shot_image = gan.sample(seed + 1)  # labelled by the parser in place of a person
    shot = Shot(shot_image, parse(net, shot_image.image)[1], source.classes, gan)
    pure = fewshot.fit(gan, [shot], seed=seed).predict(generated).argmax(1)
    report = {}
    for seen in ("image", "reconstruction"):
        parsed = parse(net, getattr(test, seen))[1]
        for num, classes in source.class_sets.items():
            suffix = "" if num == len(source.classes) else f"_{num}_class"
            found, wanted = (labels.merge(label_map, source.classes, classes) for label_map in (parsed, truth))
            report[f"parser_on_{seen}s{suffix}"] = score(found, wanted, classes)["weighted_iou"]
    report["segmenter_vs_parser"] = score(pure, parse(net, generated.image)[1], source.classes)["weighted_iou"]
    whole = evaluate(gan, source=source, seed=seed, num_test=num_test, num_steps=num_steps, cache=cache)
    return {**report, "segmenter": whole["weighted_iou"], "psnr": whole["psnr"]}
