"""Where a one-shot segmenter loses: in the GAN and projection, or in the segmenter itself."""

from toolkit import fewshot
from toolkit.errors import check_count
from toolkit.experiments.evaluation import evaluate
from toolkit.experiments.parser import parse, train_parser
from toolkit.experiments.projection import CACHE, projected
from toolkit.experiments.scoring import score
from toolkit.experiments.sources import EVALUATION_SEED, world_named
from toolkit.fewshot import Shot
from toolkit.pictures import labels


def gap(gan, *, world="portraits", num_test=200, parser_steps=800, seed=0, cache=CACHE, progress=False):
    """Where a one-shot segmenter loses: in the GAN and projection, or in the segmenter itself.

    Args:
        gan, world, num_test, seed, cache: as in `evaluate`, 10 classes, one shot, default network.
        parser_steps: as in `gan_quality`.
    Returns:
        dict of weighted IoU in percent: parser_on_images (the most this parser can see) and
        parser_on_reconstructions (the most that survives projection), of all classes and, merged, of eyes,
        mouth and nose; segmenter_vs_parser (the segmenter on generated pictures, where nothing was
        projected) and segmenter (end to end).
    """
    check_count("gap", "num_test", num_test)  # now, not after the parser's training
    module = world_named(world)
    net = train_parser(module, gan.resolution, parser_steps, seed, progress)
    test, truth = projected(gan, world, EVALUATION_SEED, num_test, None, cache, progress)
    generated = gan.sample(seed, num_test, truncation_psi=1.0)
    shot_image = gan.sample(seed + 1)  # labelled by the parser, as a person would
    shot = Shot(shot_image, parse(net, shot_image.image)[1], module.CLASSES, gan)
    pure = fewshot.fit(gan, [shot], seed=seed).predict(generated).argmax(1)
    report = {}
    for seen in ("image", "reconstruction"):
        parsed = parse(net, getattr(test, seen))[1]
        for classes, suffix in ((module.CLASSES, ""), (labels.THREE_CLASSES, "_3_class")):
            merged = [labels.merge(label_map, module.CLASSES, classes) for label_map in (parsed, truth)]
            report[f"parser_on_{seen}s{suffix}"] = score(*merged, classes)["weighted_iou"]
    report["segmenter_vs_parser"] = score(pure, parse(net, generated.image)[1], module.CLASSES)["weighted_iou"]
    whole = evaluate(gan, world=world, seed=seed, num_test=num_test, cache=cache)
    return {**report, "segmenter": whole["weighted_iou"], "psnr": whole["psnr"]}
