"""The main interface: load a GAN, label one picture, fit a segmenter, segment any picture.

gan = load_gan()
sample = gan.sample(seed=7)
shot = Shot(sample, label_map, classes=["background", "eyes", "mouth", "nose"])
segmenter = fit(gan, [shot])
result = segmenter.segment("photo.jpg")
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from os import PathLike
from typing import Any

import torch
from torch import Tensor, nn

from toolkit import autoshot
from toolkit.autoshot import AutoShotSegmenter
from toolkit.errors import CheckpointError, LabelError, ToolkitError
from toolkit.files import load_tensors, read_metadata, save_tensors
from toolkit.gan.loading import find_gan, load_gan
from toolkit.gan.model import GAN, PROJECTION_STEPS
from toolkit.gan.placing import place
from toolkit.parts import networks
from toolkit.parts.fitting import DEFAULT_NETWORK, NUM_STEPS, check_shots, fit_network
from toolkit.parts.result import Result
from toolkit.parts.sample import Sample, load_sample, save_sample
from toolkit.parts.shots import Shot, load_shots, save_shots
from toolkit.pictures import labels, shown
from toolkit.pictures.images import Align
from toolkit.pictures.uploads import open_rgb
from toolkit.projection.looks import LOOKS, WIDER, together
from toolkit.stepwise import finish

__all__ = [
    "DEFAULT_NETWORK",
    "GAN",
    "NUM_STEPS",
    "PROJECTION_STEPS",
    "Result",
    "Sample",
    "Segmenter",
    "Shot",
    "check_shots",
    "examples",
    "fit",
    "fitting",
    "load_gan",
    "load_sample",
    "load_segmenter",
    "load_shots",
    "save_sample",
    "save_shots",
]


def examples(gan: GAN) -> list[Shot]:
    """Labelled pictures that come with a GAN, to teach with at once: those of `NAME-shots.safetensors` beside its file.

    Args:
        gan: a `GAN`, as `load_gan` gives it.
    Returns:
        List of `Shot`, all of the same classes; empty where there is no such file.
    Raises:
        CheckpointError: not a file of shots, or of another GAN.
    """
    path = None if gan.path is None else gan.path.with_name(f"{gan.path.stem}-shots.safetensors")
    if path is None or not path.is_file():
        return []
    shots = load_shots(path)
    check_shots(gan, shots)
    return shots


def fit(
    gan: GAN,
    shots: Iterable[Shot],
    *,
    network: str = DEFAULT_NETWORK,
    num_steps: int | None = None,
    seed: int = 0,
    start: Segmenter | None = None,
    progress: bool = False,
) -> Segmenter:
    """Teach a small network the labels of a few pictures.

    Args:
        gan, shots, network, num_steps, seed, start: as `fitting` takes them.
        progress: show a bar.
    Returns:
        `Segmenter`.
    Raises:
        ToolkitError, LabelError, CheckpointError: as `fitting`.
    """
    steps = fitting(gan, shots, network=network, num_steps=num_steps, seed=seed, start=start)
    return finish(steps, "fit", progress)


def fitting(
    gan: GAN,
    shots: Iterable[Shot],
    *,
    network: str = DEFAULT_NETWORK,
    num_steps: int | None = None,
    seed: int = 0,
    every: int = 10,
    start: Segmenter | None = None,
) -> Iterator[tuple[int, int, float, Segmenter]]:
    """Fit step by step: a generator, to watch the loss and stop at any step.

    Args:
        gan: the `GAN` the shots came from.
        shots: one or more `Shot`, all with the same classes.
        network: "cnn-l", "cnn-m", "cnn-s", "mlp" or "linear".
        num_steps: optimiser steps, >= 1; None for the network's own number.
        seed: of the initial weights and the noise; the same seed gives the same segmenter.
        every: steps between two results.
        start: a `Segmenter` of the same GAN, network and classes to go on from, which stays as it is; then a
            sixteenth of the usual steps does. For a correction or one more shot: what earlier shots taught is kept
            only as far as shots shows it too. None starts anew.
    Yields:
        (done, num_steps, loss, `Segmenter`): steps so far and in all, the last step's cross-entropy, and
        the segmenter as it stands. The last one is the result.
    Raises:
        ToolkitError: no shots, or an unknown network. LabelError: shots that do not agree on their
        classes, or label only one, or a start with other ones. CheckpointError: a shot or a start of another GAN.
    Source: Tritrong et al. 2021, sec. 3.2 (arXiv:2103.04379); differs: channels are standardised and, in
        fitting, hidden at random, now and then all of the GAN's where ImageNet's features are there, too (as in
        Neverova et al. 2016, arXiv:1501.00102), the learning rate follows a cosine, each shot is seen in several
        styles, or moved (see `parts.views.views_of`), and by CNNs moved, scaled, turned and mirrored (see
        `parts.motions`).
    """
    shots = list(shots)
    if start is not None:
        _check_start(start, gan, shots, network)
    before = None if start is None else start.network
    steps = fit_network(gan, shots, network=network, num_steps=num_steps, seed=seed, every=every, start=before)
    for done, total, loss, net in steps:
        yield done, total, loss, Segmenter(gan, net, network, shots[0].classes)


def _check_start(start, gan, shots, network):
    if start.gan.hash != gan.hash:
        raise CheckpointError(
            "fit", f"a start of GAN {gan.hash[:12]}", f"one of GAN {start.gan.hash[:12]}", "Start anew"
        )
    if start.network_name != network:
        raise ToolkitError("fit", f"a start that is {network}", f"one that is {start.network_name}", "Start anew")
    if shots and start.classes != shots[0].classes:
        raise LabelError("fit", f"a start with classes {shots[0].classes}", start.classes, "Start anew")


class Segmenter:
    """A few-shot segmenter and the GAN it reads. Make one with `fit` or `Segmenter.load`."""

    def __init__(self, gan: GAN, network: nn.Module, network_name: str, classes: Sequence[str]) -> None:
        self.gan, self.network, self.network_name = gan, network, network_name
        self.classes = labels.check_classes(classes, "Segmenter")
        self.palette = labels.palette_of(self.classes)

    def __repr__(self) -> str:
        name = self.gan.metadata.get("name", "without a name")
        return f"<Segmenter {self.network_name} of {', '.join(self.classes)}; GAN {name}>"

    def _repr_html_(self) -> str:
        """For notebooks: the classes in their colours."""
        return shown.legend(repr(self), self.classes, self.palette)

    @torch.no_grad()
    def predict(self, sample: Sample, batch_size: int = 16) -> Tensor:
        """Segment pictures whose latents are known.

        Args:
            sample: `Sample` of N pictures.
        Returns:
            logits (N, K, R, R).
        """
        parts = [sample[i : i + batch_size] for i in range(0, len(sample), batch_size)]
        scores = torch.cat([networks.label(self.network, self.gan.hypercolumns(part)) for part in parts])
        return networks.enlarged(scores, self.gan.resolution)

    def segment(
        self, source: Any, *, align: Align | str | list[Align | str] = "centre", all: bool = False, **options: Any
    ) -> Result | list[Result]:
        """Project pictures into the GAN, then segment them.

        Args:
            source: what `GAN.project` takes, or a `Sample`; a list gives a list.
            align, all: where in the pictures to look, as `GAN.project` takes them. A frame that was found, "auto", is
                a little off: it is projected in three sizes, the mean is taken, and labels reach `looks.WIDER` times
                the frame.
            options: of `GAN.project`.
        Returns:
            `Result`, or a list of them.
        """
        if isinstance(source, Sample):
            results = self._results(source, [None] * len(source))
        else:
            sources, aligns, found, uploads = self._opened(source, align, all)
            results = self._results(self.gan.project(sources, align=aligns, **options), uploads)
            for i in (i for i, rough in enumerate(found) if rough):
                results[i] = self._looked_at(results[i], options)
        return results if isinstance(source, (list, tuple)) or all or len(results) > 1 else results[0]

    def segmenting(
        self, source: Any, *, align: Align | str | list[Align | str] = "centre", all: bool = False, **options: Any
    ) -> Iterator[tuple[int, int, list[Result]]]:
        """Segment step by step: a generator, to show intermediate results; closing it stops the work.

        Args:
            source, align, all, options: as `GAN.projecting` takes them.
        Yields:
            (done, total, list of `Result`): picture-steps so far and in all; the last list is the result.
        """
        sources, aligns, _, uploads = self._opened(source, align, all)
        for done, total, sample in self.gan.projecting(sources, align=aligns, **options):
            yield done, total, self._results(sample, uploads)

    def _opened(self, source, align, all):
        """Opened pictures, where they lie, and of each picture whether that was found, and the upload (None for a
        tensor's)."""
        sources = source if isinstance(source, (list, tuple)) else [source]
        sources = [s if isinstance(s, Tensor) else open_rgb(s, "segment") for s in sources]
        placed = place(self.gan, sources, align, all)
        sources, aligns = [one.source for one in placed], [one.align for one in placed]
        each = [one for one in placed for _ in range(len(one.source) if isinstance(one.source, Tensor) else 1)]
        uploads = [None if isinstance(one.source, Tensor) else one.source for one in each]
        return sources, aligns, [one.found for one in each], uploads

    def _looked_at(self, first, options):
        """The result of a found frame, as it is and a little smaller and larger; trust is that of the frame."""
        frames = [first.frame.scaled(by) for by in LOOKS[1:]]
        seen = self.gan.project([first.full_image] * len(frames), align=frames, **options | {"judge": False})
        others = self._results(seen, [first.full_image] * len(frames))
        scores = together(torch.stack([one.logits for one in (first, *others)]).softmax(1))
        widest = others[LOOKS.index(WIDER) - 1]
        return replace(widest, label_map=scores.argmax(0), trust=first.trust, logits=scores)

    def _results(self, sample: Sample, uploads: list) -> list[Result]:
        return [
            Result(
                one.image[0].cpu(),
                scores.argmax(0),
                self.classes,
                self.palette,
                one.reconstruction[0].cpu(),
                float(one.psnr),
                trust=None if one.trust is None else float(one.trust),
                frame=one.frames[0] if one.frames else None,
                full_image=upload,
                logits=scores,
            )
            for one, scores, upload in zip(
                map(sample.__getitem__, range(len(sample))), self.predict(sample).cpu(), uploads, strict=True
            )
        ]

    def autoshot(self, num_images: int = 5000, **options: Any) -> AutoShotSegmenter:
        """Distil this segmenter into a network that needs no GAN.

        Args:
            num_images: generated pictures to learn from.
            options: of `autoshot.distil`.
        Returns:
            `AutoShotSegmenter`.
        """
        return autoshot.distil(self, num_images, **options)

    def save(self, path: str | PathLike) -> None:
        """Write the network, its classes, and its GAN's hash, name and path to one safetensors file."""
        meta = {
            "format": "segmenter",
            "network": self.network_name,
            "classes": self.classes,
            "gan": self.gan.metadata.get("name"),
            "gan_path": None if self.gan.path is None else str(self.gan.path),
            "gan_hash": self.gan.hash,
            "class_index": self.gan.class_index,
            "layers": list(self.gan.channels),
        }
        save_tensors(path, self.network.state_dict(), meta)

    @classmethod
    def load(cls, path: str | PathLike, gan: GAN | None = None, device: str | torch.device | None = None) -> Segmenter:
        """Read a file written by `save`.

        Args:
            gan: the `GAN` it was fitted on; None looks for it at its saved path, beside the file, and by its name.
            device: where to put both, as `load_gan` takes it; with a GAN given, its own.
        Raises:
            CheckpointError: not such a file, a damaged one, or a segmenter of another GAN.
        """
        tensors, meta = load_tensors(path, "segmenter", "Segmenter.load")
        if missing := {"network", "classes", "gan", "gan_hash"} - meta.keys():
            raise _damaged(path, f"no {min(missing)}")
        if gan is None:
            found = meta["gan_hash"], str(meta["gan"]), meta.get("gan_path")
            gan = find_gan(*found, beside=path, device=device, class_index=meta.get("class_index"))
        if gan.hash != meta["gan_hash"]:
            raise CheckpointError(
                "Segmenter.load",
                f"GAN {meta['gan_hash'][:12]}",
                f"GAN {gan.hash[:12]}",
                "Load the GAN this segmenter was fitted on",
            )
        # Files of version 0.2 do not say; what ImageNet's features saw then was another thing.
        if meta.get("layers", None if gan.imagenet else list(gan.channels)) != list(gan.channels):
            want = f"a segmenter of the layers {', '.join(gan.channels)}"
            raise CheckpointError("Segmenter.load", want, f"other layers in {path}", "Fit it again from its shots")
        net = networks.build(meta["network"], gan.channels, len(meta["classes"]))
        try:
            net.load_state_dict(tensors)
        except RuntimeError as error:
            raise _damaged(path, " ".join(str(error).split())[:120]) from error
        return cls(gan, net.to(gan.device).eval().requires_grad_(False), meta["network"], meta["classes"])


def load_segmenter(
    path: str | PathLike, device: str | torch.device | None = None, gan: GAN | None = None
) -> Segmenter | AutoShotSegmenter:
    """Read a segmenter of either kind, as the file says: a `Segmenter` or an `AutoShotSegmenter`.

    Args:
        path: the file.
        device: where to put it; None for CUDA where there is some, else MPS, else the CPU.
        gan: of a `Segmenter`, as `Segmenter.load` takes it; an `AutoShotSegmenter` needs none.

    Raises:
        CheckpointError: neither, or a segmenter whose GAN cannot be loaded.
    """
    kind = read_metadata(path, ("segmenter", "autoshot"), "load_segmenter")["format"]
    return Segmenter.load(path, gan, device) if kind == "segmenter" else AutoShotSegmenter.load(path, device=device)


def _damaged(path: str | PathLike, what: str) -> CheckpointError:
    return CheckpointError("Segmenter.load", "a whole segmenter file", f"{path} ({what})", "Fit it again")
