"""What the toolkit claims, measured: the paper's protocol and the bundled GAN's quality.

World seeds below `EVALUATION_SEED` are for training (of GANs, shots and parsers), those from it on
are for evaluation, and nothing here lets the two meet.
"""

import importlib.util
import statistics
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from tqdm import tqdm

from toolkit import fewshot, images, labels, metrics, plots
from toolkit.autoshot import augmentation
from toolkit.errors import ToolkitError
from toolkit.fewshot import Sample, Shot
from toolkit.files import replace_when_done
from toolkit.projector import no_noise
from toolkit.segmenters import UNet
from toolkit.worlds import portraits

WORLDS = {"portraits": portraits}
EVALUATION_SEED = 1_000_000
# All below EVALUATION_SEED, above what GANs train on.
SHOT_SEED, PARSER_SEED, CALIBRATION_SEED = 900_000, 600_000, 700_000
SHOWN = 6  # rows of the quickstart's picture
CLASS_SETS = {10: labels.PORTRAIT_CLASSES, 3: labels.THREE_CLASSES}


def world_named(name):
    """The module of a world: `render`, `CLASSES`. Raises ToolkitError for an unknown name."""
    if name not in WORLDS:
        raise ToolkitError("world", f"one of {', '.join(WORLDS)}", repr(name), "Choose a world by its name")
    return WORLDS[name]


def evaluate(
    gan, *, world="portraits", num_classes=10, num_shots=1, network=fewshot.DEFAULT_NETWORK, seed=0,
    num_test=200, num_steps=None, cache=Path("out/cache"), save=None, progress=False,
):  # fmt: skip
    """The paper's face protocol: fit on a few projected portraits, score on others, projected too.

    Args:
        gan: a `fewshot.GAN`.
        world: name of a world in `WORLDS`.
        num_classes: 10, or 3 (eyes, mouth, nose; background is then left out of the means).
        num_shots: annotated portraits, >= 1.
        network: as `fewshot.fit` takes it.
        seed: which portraits are annotated, and the fit's own randomness; the test set stays.
        num_test: portraits to score on.
        num_steps: of projection; None for as many as usual.
        cache: folder that keeps projections, which do not depend on labels; None keeps nothing.
        save: file to write the segmenter to; None writes none.
        progress: show bars.
    Returns:
        dict: weighted_iou, mean_iou and per_class in percent, psnr in dB, seconds by step.
    Raises:
        ToolkitError: an unknown world or class set, or seeds that would overlap.
    Source: Tritrong et al. 2021, sec. 4.1.
    """
    if num_classes not in CLASS_SETS:
        raise ToolkitError("evaluate", f"classes of {list(CLASS_SETS)}", num_classes, "Choose one of these")
    first_shot = SHOT_SEED + 100 * seed
    if not 1 <= num_shots <= 100 or not 0 <= seed < 1000:
        raise ToolkitError("evaluate", "1 to 100 shots and a seed in 0..999",
                           f"{num_shots} shots, seed {seed}", "Shots must stay below the test seeds")  # fmt: skip
    classes, seconds = CLASS_SETS[num_classes], {}
    clock = _Clock(seconds)
    shot_samples, shot_labels = projected(gan, world, first_shot, num_shots, num_steps, cache, progress)
    clock("project_shots")
    test, truth = projected(gan, world, EVALUATION_SEED, num_test, num_steps, cache, progress)
    clock("project_test")
    truth, shot_labels = (labels.merge(m, labels.PORTRAIT_CLASSES, classes) for m in (truth, shot_labels))
    shots = [Shot(shot_samples[i], shot_labels[i], classes, gan) for i in range(num_shots)]
    segmenter = fewshot.fit(gan, shots, network=network, seed=seed)
    if save is not None:
        segmenter.save(save)
    clock("fit")
    prediction = segmenter.predict(test).argmax(1)
    clock("segment")
    return {
        "world": world, "classes": num_classes, "shots": num_shots, "network": network, "seed": seed,
        "num_test": num_test, **score(prediction, truth, classes),
        "psnr": round(float(test.psnr.mean()), 2), "seconds": seconds,
    }  # fmt: skip


def score(prediction, truth, classes):
    """Weighted, mean and per-class IoU in percent, as the paper's tables count them.

    Args:
        prediction, truth: (N, H, W) int64; 255 in truth counts nowhere.
        classes: names, background first; with `THREE_CLASSES` background is left out of the means.
    Returns:
        dict with weighted_iou, mean_iou and per_class; a class nobody has is None.
    """
    matrix = metrics.ConfusionMatrix(len(classes))
    matrix.update(prediction, truth)
    background = tuple(classes) != tuple(labels.THREE_CLASSES)
    per_class = [None if v != v else round(100 * v, 2) for v in matrix.iou().tolist()]
    return {
        "weighted_iou": round(100 * float(matrix.weighted_iou(include_background=background)), 2),
        "mean_iou": round(100 * float(matrix.mean_iou(include_background=background)), 2),
        "per_class": dict(zip(classes, per_class, strict=True)),
    }


def projected(gan, world, first_seed, num, num_steps, cache=None, progress=False):
    """Portraits of a world projected into a GAN, with their labels.

    Args:
        first_seed, num: which portraits; the range must not cross `EVALUATION_SEED`.
        cache: folder for the latents, keyed by GAN, world, seed and steps; None keeps nothing.
    Returns:
        `Sample` of num pictures, and their label_map (num, R, R) in the world's own classes.
    Raises:
        ToolkitError: the range crosses from training into evaluation seeds.
    """
    if first_seed < EVALUATION_SEED < first_seed + num:
        raise ToolkitError("projected", f"seeds on one side of {EVALUATION_SEED}",
                           f"{first_seed}..{first_seed + num - 1}", "Ask for fewer portraits")  # fmt: skip
    image, label_map = world_named(world).render(num, gan.resolution, first_seed)
    return _project(gan, image, world, first_seed, num_steps, cache, progress), label_map


def _project(gan, image, name, first_seed, num_steps, cache, progress):
    """`Sample` of pictures; what is found is kept in `cache` by their name and number."""
    num_steps, ws = gan.projection_steps if num_steps is None else num_steps, []
    for start in tqdm(range(0, len(image), 20), desc="project portraits", unit="x20", disable=not progress):
        chunk = image[start : start + 20]
        start_from = "w_avg" if gan.encoder is None else gan.encoder.hash[:8]
        which = f"{name}-{first_seed + start}-{len(chunk)}"
        file = None if cache is None else Path(cache) / f"{gan.hash[:12]}-{start_from}-{which}-{num_steps}.safetensors"
        if file is not None and file.exists():
            ws.append(load_file(file)["ws"])
            continue
        ws.append(gan.project(chunk, num_steps=num_steps, judge=False).ws)
        if file is not None:
            with replace_when_done(file) as temporary:
                save_file({"ws": ws[-1]}, temporary)
    ws = torch.cat(ws)
    synthesis = gan.generator.synthesis
    reconstruction = torch.cat([synthesis(w, noise_mode="none").clamp(-1, 1) for w in ws.split(20)])
    return Sample(image, ws, no_noise(gan.generator, len(image)), reconstruction)


def quickstart(gan, out, *, num_test=8, seed=0):
    """The main job, start to end: one labelled portrait, a fit, and unseen portraits segmented.

    Args:
        gan: a `fewshot.GAN`.
        out: PNG to write: portrait, reconstruction, prediction and truth of the labelled portrait, in
            the first row, and of the first unseen ones.
        num_test: unseen portraits.
        seed: which portrait is labelled.
    Returns:
        dict as of `evaluate`; also printed as a table.
    """
    classes, seconds = labels.PORTRAIT_CLASSES, {}
    clock = _Clock(seconds)
    shot_image, shot_labels = portraits.render(1, gan.resolution, SHOT_SEED + 100 * seed)
    image, truth = portraits.render(num_test, gan.resolution, EVALUATION_SEED)
    clock("render portraits")
    shot = Shot(gan.project(shot_image, progress=True), shot_labels, classes, gan)
    clock("project the labelled one")
    segmenter = fewshot.fit(gan, [shot], seed=seed, progress=True)
    clock("fit on one label")
    test = gan.project(image, progress=True)
    clock("project the unseen ones")
    prediction = segmenter.predict(test).argmax(1)
    clock("segment them")
    report = {
        **score(prediction, truth, classes),
        "psnr": round(float(test.psnr.mean()), 2),
        "seconds": seconds,
    }
    shown = {"portrait": (shot_image, image), "reconstruction": (shot.sample.reconstruction, test.reconstruction),
             "prediction": (segmenter.predict(shot.sample).argmax(1), prediction),
             "truth": (shot_labels, truth)}  # fmt: skip
    columns = {title: list(torch.cat(pair))[:SHOWN] for title, pair in shown.items()}
    images.save_png(out, plots.comparison(columns, segmenter.palette, classes))
    rows = [("part", "IoU %"), *report["per_class"].items(), ("weighted", report["weighted_iou"])]
    print(plots.table(rows), plots.table([("step", "seconds"), *seconds.items()]), sep="\n\n")
    return report


def gan_quality(gan, *, world="portraits", num=2000, parser_steps=800, seed=0, out=None, progress=False):
    """How much a GAN's pictures look like its world, judged by a parser trained on that world.

    The parser, a U-Net, learns from labelled renders; it is never shipped and no GAN, encoder or
    segmenter ever sees it.

    Args:
        gan: a `fewshot.GAN`; its untruncated samples are judged.
        num: pictures on each side.
        parser_steps: of 32 renders each.
        seed: of the parser and the samples.
        out: PNG to write: renders on the left, uncurated samples on the right; None writes none.
    Returns:
        dict: frechet (renders to samples), frechet_renders (renders to other renders: the floor),
        area (percent of pixels by class, in renders and in samples), present (percent of pictures
        that show the part), parser_iou (percent, on unseen renders).
    """
    render, classes, size = world_named(world).render, world_named(world).CLASSES, gan.resolution
    net = _train_parser(render, size, len(classes), parser_steps, seed, progress)
    renders, truth = render(num, size, EVALUATION_SEED)
    others, _ = render(num, size, EVALUATION_SEED + num)
    samples = gan.sample(seed, num, truncation_psi=1.0).image
    found = {name: _parse(net, x) for name, x in (("renders", renders), ("others", others), ("samples", samples))}
    moments = {name: (f.double().mean(0), f.double().T.cov()) for name, (f, _) in found.items()}
    parsed = {name: found[name][1] for name in ("renders", "samples")}
    if out is not None:
        sheets = [images.grid(pictures[:40], columns=5) for pictures in (renders, samples)]
        images.save_png(out, images.grid(sheets, columns=2, gap=24))
    return {
        "gan": gan.metadata.get("name"), "num": num, "seed": seed,
        "frechet": round(metrics.frechet_distance(*moments["renders"], *moments["samples"]), 3),
        "frechet_renders": round(metrics.frechet_distance(*moments["renders"], *moments["others"]), 3),
        "parser_iou": score(parsed["renders"], truth, classes)["weighted_iou"],
        "area": {k: _shares(m, classes, lambda m, c: (m == c).float().mean()) for k, m in parsed.items()},
        "present": {k: _shares(m, classes, lambda m, c: (m == c).any(2).any(1).float().mean())
                    for k, m in parsed.items()},
    }  # fmt: skip


def gap(gan, *, world="portraits", num_test=200, parser_steps=800, seed=0, cache=Path("out/cache"), progress=False):
    """Where a one-shot segmenter loses: in the GAN and projection, or in the segmenter itself.

    Args:
        gan, world, num_test, seed, cache: as in `evaluate`, 10 classes, one shot, default network.
        parser_steps: as in `gan_quality`.
    Returns:
        dict of weighted IoU in percent: parser_on_pictures (the most this parser can see),
        parser_on_reconstructions (the most that survives projection), segmenter_vs_parser (the
        segmenter on generated pictures, where nothing was projected) and segmenter (end to end).
    """
    render, classes = world_named(world).render, labels.PORTRAIT_CLASSES
    net = _train_parser(render, gan.resolution, len(classes), parser_steps, seed, progress)
    test, truth = projected(gan, world, EVALUATION_SEED, num_test, None, cache, progress)
    generated = gan.sample(seed, num_test, truncation_psi=1.0)
    shot_image = gan.sample(seed + 1)  # labelled by the parser, as a person would
    shot = Shot(shot_image, _parse(net, shot_image.image)[1], classes, gan)
    pure = fewshot.fit(gan, [shot], seed=seed).predict(generated).argmax(1)
    pairs = {
        "parser_on_pictures": (_parse(net, test.image)[1], truth),
        "parser_on_reconstructions": (_parse(net, test.reconstruction)[1], truth),
        "segmenter_vs_parser": (pure, _parse(net, generated.image)[1]),
    }
    report = {name: score(*pair, classes)["weighted_iou"] for name, pair in pairs.items()}
    whole = evaluate(gan, world=world, seed=seed, num_test=num_test, cache=cache)
    return {**report, "segmenter": whole["weighted_iou"], "psnr": whole["psnr"]}


def networks(
    gan, *, world="portraits", names=tuple(fewshot.NUM_STEPS), shots=(1, 10), seeds=3, num_test=200,
    cache=Path("out/cache"), progress=False,
):  # fmt: skip
    """IoU of the networks through projection, by classes and shots, in percent: means over seeds.

    Args:
        gan, world, num_test, cache: as in `evaluate`.
        names: networks, as `fewshot.fit` takes them.
        shots: numbers of shots.
        seeds: how many; each labels other portraits.
    Returns:
        dict: num_test, seeds, psnr, and "10-class" and "3-class", each a list of rows (dicts): network,
        shots, weighted (IoU) with its std over seeds, the IoU of each class, fit_s (seconds to fit).
    """
    report = {"world": world, "num_test": num_test, "seeds": seeds}
    settings = [(c, k, n) for c in CLASS_SETS for k in shots for n in names]
    for num_classes, num_shots, network in tqdm(settings, desc="networks", disable=not progress):
        options = {"world": world, "num_classes": num_classes, "num_shots": num_shots, "network": network}
        runs = [evaluate(gan, seed=s, num_test=num_test, cache=cache, **options) for s in range(seeds)]
        weighted = torch.tensor([r["weighted_iou"] for r in runs])
        row = {"network": network, "shots": num_shots}
        row |= {"weighted": round(float(weighted.mean()), 1), "std": round(float(weighted.std(correction=0)), 1)}
        for name in CLASS_SETS[num_classes]:
            row[name] = round(sum(r["per_class"][name] or 0.0 for r in runs) / seeds, 1)
        row["fit_s"] = round(sum(r["seconds"]["fit"] for r in runs) / seeds, 1)
        report.setdefault("psnr", runs[0]["psnr"])
        report.setdefault(f"{num_classes}-class", []).append(row)
    return report


def table2(
    gan, *, world="portraits", num_shots=10, num_test=200, num_images=5000, seed=0, out_dir=Path("out/table2"),
    cache=Path("out/cache"), progress=False, **options,
):  # fmt: skip
    """A few-shot segmenter through projection against the auto-shot network distilled from it.

    Both see the same unseen portraits, as they are and moved: shifted by up to 30 %, scaled 0.6 to 1.6,
    rotated by up to 10 degrees, which projection into the GAN stands badly.

    Args:
        gan, world, num_shots, num_test, seed, cache: as in `evaluate`, 10 classes, default network.
        num_images: pictures that auto-shot learns from.
        out_dir: folder for both segmenters and all that is needed to go on.
        options: of `autoshot.distilling`.
    Returns:
        dict: "as they are" and "moved", each a list of two rows: segmenter, weighted IoU and the IoU of
        each class in percent; "cost", two rows: seconds for one picture (200 steps of projection, against
        one look), millions of parameters and megabytes; "more": what follows from them.
    Source: Tritrong et al. 2021, table 2; the moved portraits answer the limits its authors name.
    """
    classes = labels.PORTRAIT_CLASSES
    file = out_dir / f"segmenter-{num_shots}-{seed}.safetensors"
    if not file.is_file():  # kept: auto-shot goes on only with the very same
        settings = {"num_shots": num_shots, "num_test": num_test, "seed": seed, "cache": cache}
        evaluate(gan, world=world, save=file, progress=progress, **settings)
    few = fewshot.Segmenter.load(file, gan)
    auto = few.autoshot(num_images, seed=seed, out_dir=out_dir / "autoshot-work", progress=progress, **options)
    auto.save(out_dir / "autoshot.safetensors")
    test, truth = projected(gan, world, EVALUATION_SEED, num_test, None, cache, progress)
    moved, moved_truth = _move(test.image, truth, seed)
    projected_moved = _project(gan, moved, f"{world}-moved{seed}", EVALUATION_SEED, None, cache, progress)
    names = f"{num_shots}-shot, projected", "auto-shot"

    def rows(projected, image, truth):
        predictions = few.predict(projected), auto.predict(image)
        scores = [score(logits.argmax(1), truth, classes) for logits in predictions]
        return [{"segmenter": n, "weighted": s["weighted_iou"], **s["per_class"]} for n, s in zip(names, scores)]

    as_they_are, moved = rows(test, test.image, truth), rows(projected_moved, moved, moved_truth)
    one = test.image[:1]
    seconds = [_seconds(lambda: few.predict(gan.project(one, num_steps=200, judge=False)), 2),
               _seconds(lambda: auto.predict(one), 20)]  # fmt: skip
    networks = (gan.generator, few.network), (auto.network,)
    sizes = [sum(p.numel() for network in group for p in network.parameters()) for group in networks]
    cost = [{"segmenter": n, "seconds": round(t, 4), "parameters": f"{k / 1e6:.2f} M", "float32": f"{k * 4e-6:.1f} MB"}
            for n, t, k in zip(names, seconds, sizes)]  # fmt: skip
    more = {
        "auto-shot ahead, as they are (wanted: above -1)": as_they_are[1]["weighted"] - as_they_are[0]["weighted"],
        "auto-shot ahead, moved (wanted: 15)": moved[1]["weighted"] - moved[0]["weighted"],
        "times faster than 200 steps (wanted: 100)": seconds[0] / seconds[1],
        **_pace(auto, out_dir / "autoshot.onnx"),
    }
    return {"world": world, "shots": num_shots, "num_images": num_images, "num_test": num_test, "seed": seed,
            "threads": torch.get_num_threads(), "as they are": as_they_are, "moved": moved, "cost": cost,
            "more": {name: round(value, 2) for name, value in more.items()}}  # fmt: skip


def _move(image, truth, seed):
    """Pictures shifted, scaled and rotated, their edges repeated; labels from outside are 255."""
    rng = torch.Generator().manual_seed(seed)
    matrix = augmentation.draw(len(image), image.shape[2:], rng, flip=0.0, scale=(0.6, 1.6), shift=0.3)
    truth = augmentation.warp(truth[:, None] + 1.0, matrix, "nearest")[:, 0].long() - 1  # -1 from outside
    return augmentation.warp(image, matrix, padding_mode="border"), truth.where(truth >= 0, labels.IGNORE_INDEX)


def _pace(auto, onnx_file):
    """Pictures of 128 pixels a second, in PyTorch and, where it is installed, in ONNX Runtime."""
    picture = torch.zeros(1, 3, 128, 128)
    pace = {"pictures a second at 128 pixels, PyTorch (wanted: 20)": 1 / _seconds(lambda: auto.predict(picture), 20)}
    if importlib.util.find_spec("onnxruntime") and importlib.util.find_spec("onnxscript"):
        import onnxruntime

        auto.export_onnx(onnx_file)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(onnx_file, options, providers=["CPUExecutionProvider"])
        seconds = _seconds(lambda: session.run(None, {"image": picture.numpy()}), 20)
        pace["the same, ONNX Runtime (wanted: 20)"] = 1 / seconds
    return pace


def _seconds(job, rounds):
    """Median wall-clock seconds, after one call to warm up."""
    times = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        job()
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


def _shares(label_map, classes, share):
    return {name: round(100 * float(share(label_map, c)), 1) for c, name in enumerate(classes)}


def _train_parser(render, resolution, num_classes, num_steps, seed, progress):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = UNet(num_classes, width=16)
    optimizer = torch.optim.Adam(net.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_steps)
    rng = torch.Generator().manual_seed(seed)
    image, label_map = render(min(4000, num_steps * 8), resolution, PARSER_SEED)
    for _ in tqdm(range(num_steps), desc="train parser", unit="step", disable=not progress):
        pick = torch.randint(len(image), (32,), generator=rng)
        x, y = image[pick], label_map[pick]
        if torch.rand((), generator=rng) < 0.5:
            x, y = x.flip(3), y.flip(2)
        loss = F.cross_entropy(net(x), y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    return net.eval()


@torch.no_grad()
def _parse(net, image):
    """Bottleneck features (N, D) and label_map (N, H, W) of many pictures."""
    features = torch.cat([net.bottleneck(x) for x in image.split(64)])
    return features, torch.cat([net(x).argmax(1) for x in image.split(64)])


class _Clock:
    """Seconds since the last lap, by name, rounded to hundredths."""

    def __init__(self, laps):
        self.laps, self.last = laps, time.perf_counter()

    def __call__(self, name):
        now = time.perf_counter()
        self.laps[name], self.last = round(now - self.last, 2), now
