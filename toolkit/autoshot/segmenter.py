"""Segment pictures of any size in one forward pass of a U-Net: no GAN, no projection."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from toolkit.autoshot import html_file, layout, onnx_file
from toolkit.autoshot.layout import NUMBERS, Judged, Layout
from toolkit.autoshot.unet import STARTS
from toolkit.devices import check_device
from toolkit.errors import CheckpointError, ImageError, ShapeError, ToolkitError, describe
from toolkit.files import load_tensors, save_tensors
from toolkit.parts.result import Result
from toolkit.pictures import images, labels, shown
from toolkit.pictures.images import Align, Frame
from toolkit.pictures.uploads import open_rgb
from toolkit.projection.framing import Framer, framer_of, framer_state
from toolkit.projection.looks import LOOKS, WIDER, together
from toolkit.projection.trust import LOW

LONGEST = 16  # times the resolution: the longest side of the network's input
BATCH_SIZE = 16
RESULT_PIXELS = 1 << 20  # of a result's label map at most; larger uploads take the nearest label


class AutoShotSegmenter:
    """A U-Net with its classes and colours. Make one with `autoshot.train` or `AutoShotSegmenter.load`.

    Args:
        network: `UNet` or `ImageNetUNet`, as many logits as classes.
        classes: names, background first.
        resolution: of the pictures it learned from.
        palette: (K, 3) uint8; None for the default.
        framer: finds in a picture what it learned to segment; None for none.
        layout: how parts usually lie, by which trust is judged; None for no trust.
        licence: the terms of its weights, those of the GAN it was distilled from; None where they are not known.
        fit: how the pictures that it learned from became square, "crop" or "pad".
    Raises:
        ToolkitError: another fit.
    """

    def __init__(
        self,
        network: nn.Module,
        classes: Sequence[str],
        resolution: int,
        palette: np.ndarray | None = None,
        framer: Framer | None = None,
        layout: Layout | None = None,
        licence: str | None = None,
        fit: str = "crop",
    ) -> None:
        self.network, self.resolution = network.eval().requires_grad_(False), resolution
        self.framer, self.layout, self.licence = framer, layout, licence
        self.fit = images.check_fit(fit, "AutoShotSegmenter")
        self.classes = labels.check_classes(classes, "AutoShotSegmenter")
        self.palette = labels.palette_of(self.classes) if palette is None else palette

    def __repr__(self) -> str:
        about = f"{self.resolution} pixels, {self.device}"
        return f"<AutoShotSegmenter of {', '.join(self.classes)}; {about}>"

    def _repr_html_(self) -> str:
        """For notebooks: the classes in their colours."""
        return shown.legend(repr(self), self.classes, self.palette)

    @property
    def device(self) -> torch.device:
        """Where the network's parameters are."""
        return next(self.network.parameters()).device

    @torch.no_grad()
    def predict(self, image: Any) -> Tensor:
        """Segment pictures at their own size.

        Args:
            image: (N, 3, H, W) float in [-1, 1], any size; it works best where parts are about as large,
                in pixels, as in the training pictures, and tolerates half to twice that.
        Returns:
            logits (N, K, H, W).
        Raises:
            ShapeError: not such pictures.
        """
        image = images.load_image(image)
        return torch.cat([self.network(part.to(self.device)) for part in image.split(BATCH_SIZE)])

    def segment(
        self, source: Any, resolution: int | None = None, *, align: Align | str = "none", all: bool = False
    ) -> Result | list[Result]:
        """Segment pictures, in their own pixels.

        Args:
            source: whatever `images.load_image` takes; a list of such, or a tensor of several pictures,
                gives a list.
            resolution: shorter side of the network's input; None for that of the training pictures,
                which suits uploads with similar framing.
            align: "none" for the whole picture, in its own shape or, of `fit` "pad", padded to a square as those that
                it learned from; "centre" for such a square, too, else the centred one; else as `images.frame_image`
                takes it, or "auto": found by the framer of the GAN it was distilled from; then in three sizes and
                mirrored, the mean is taken, and labels reach `WIDER` times the frame. A tensor is always taken whole.
            all: of "auto", everything that is found in a picture, the surest first, not that one alone.
        Returns:
            `Result`, or a list of them. Its image and label map have the size of the upload, or of the frame in
            it, up to a million pixels; `full_label_map` has always the upload's. Trust says how usual the layout
            of its parts is among pictures that it should know, see `layout`; None where its file does not say.
        Warns:
            UserWarning: low trust.
        Raises:
            ImageError, ShapeError: as `images.load_image`, a resolution below 1, or nothing was found.
            ToolkitError: "auto" without a framer.
        """
        resolution = self.resolution if resolution is None else resolution
        if not isinstance(resolution, int) or resolution < 1:
            raise ShapeError("segment", "resolution >= 1, an int", describe(resolution), "Use e.g. 128")
        uploads = []
        for one in source if isinstance(source, (list, tuple)) else [source]:
            uploads += images.load_image(one) if isinstance(one, Tensor) else [open_rgb(one, "segment")]
        placed = [(i, frame) for i, upload in enumerate(uploads) for frame in self._frames(upload, align, all)]
        rough = align not in ("none", "centre")  # found, or set by hand: not to the pixel
        wider = WIDER if align == "auto" else 1.0
        results: list[Any] = [
            self._looked_at(uploads[i], frame, resolution, wider) if rough and frame else None for i, frame in placed
        ]
        whole = {
            k: self._seen(uploads[i], frame, resolution) for k, (i, frame) in enumerate(placed) if results[k] is None
        }
        for shape in {x.shape for x in whole.values()}:  # pictures of one size share their batches
            alike = [k for k, x in whole.items() if x.shape == shape]
            for k, logits in zip(alike, self.predict(torch.stack([whole[k] for k in alike])), strict=True):
                results[k] = self._result(uploads[placed[k][0]], placed[k][1], logits)
        _warn_of_low_trust(results)
        return results if isinstance(source, (list, tuple)) or all or len(results) > 1 else results[0]

    def _frames(self, upload, align, all):
        """Where to look in an upload: frames, or None for all of it in its own shape."""
        if isinstance(upload, Tensor) or (align == "none" and self.fit == "crop"):
            return [None]
        if align != "auto":
            align = images.FITS[self.fit] if align in ("none", "centre") else align
            return [images.frame_of(upload, align, "segment")]
        if self.framer is None:
            fix = "Distil it from a GAN that has one (see train-framer), or align by hand"
            raise ToolkitError("segment", "an auto-shot network with a framer", "none in its file", fix)
        found = self.framer.find(upload)
        if not found:
            want, got = "a picture of what it learned", f"nothing like it in {upload.width}x{upload.height} pixels"
            raise ImageError("segment", want, got, 'Give its frame as align, or align="centre"')
        return [one.frame for one in (found if all else found[:1])]

    def _looked_at(self, upload, frame, resolution, wider):
        """The result of a frame that was found or set by hand, and so is a little off: the mean of what is seen in
        frames a little smaller and larger, and in the mirror, as the network saw pictures when it learned. It covers
        `wider` times the frame."""
        seen = torch.stack([self._seen(upload, frame.scaled(by), resolution) for by in LOOKS])
        logits = self.predict(torch.cat([seen, seen.flip(3)]))
        straight, mirrored = logits.softmax(1).chunk(2)
        sure = together(straight + mirrored.flip(3), wider)
        return self._result(upload, frame.scaled(wider), sure, judged=logits[0])

    def _seen(self, upload, frame, resolution):
        if frame is None:
            return _resized(upload, _seen_size(_size(upload), resolution))
        return images.load_image(frame.cut(upload, resolution, "segment"))[0]

    def _result(self, upload, frame, logits, judged=None):
        """Logits (K, h, w), or other scores, as a `Result`; judged: the logits that trust looks at, where not these."""
        width, height = size = _size(upload) if frame is None else (math.ceil(frame.side),) * 2
        shrink = min(1.0, (RESULT_PIXELS / (width * height)) ** 0.5)
        shown_size = max(1, int(width * shrink)), max(1, int(height * shrink))
        if frame is None:
            picture, frame = _resized(upload, shown_size), Frame((0.0, 0.0, float(width), float(height)), size)
        else:
            picture = images.load_image(frame.cut(upload, shown_size[0], "segment"))[0]
        judged = logits if judged is None else judged
        trust = None if self.layout is None else float(layout.trust(self.layout, judged[None]))
        # Upsample logits, not labels: interpolation places edges between the network's pixels.
        logits = F.interpolate(logits[None], size=picture.shape[1:], mode="bilinear", align_corners=False)
        full_image = None if isinstance(upload, Tensor) else upload
        label_map = logits[0].argmax(0).cpu()
        return Result(
            picture.cpu(), label_map, self.classes, self.palette, trust=trust, frame=frame, full_image=full_image
        )

    def save(self, path: str | PathLike, dtype: torch.dtype = torch.float32) -> None:
        """Write network, classes and palette to one safetensors file, whole or not at all.

        Args:
            path: the file.
            dtype: of the stored weights; float16 halves the file.
        """
        state = {k: v.to(dtype) if v.is_floating_point() else v for k, v in self.network.state_dict().items()}
        about = {"format": "autoshot", "start": self.network.start, **self.about()}
        if self.framer is not None:
            state |= {f"framer.{k}": v for k, v in framer_state(self.framer, dtype).items()}
            about["framer"] = self.framer.metadata
        if self.layout is not None:  # in full precision: small as it is
            state |= {f"layout.{k}": v for k, v in self.layout._asdict().items()}
        save_tensors(path, state, about)

    @classmethod
    def load(cls, path: str | PathLike, device: str | torch.device | None = None) -> AutoShotSegmenter:
        """Read a file written by `save`.

        Args:
            path: the file.
            device: where to put it; None for CUDA where there is some, else MPS, else the CPU.
        Raises:
            CheckpointError: it is not one.
        """
        device = check_device(device, "AutoShotSegmenter.load")
        tensors, about = load_tensors(path, "autoshot", "AutoShotSegmenter.load")
        try:
            classes, palette = about["classes"], torch.tensor(about["palette"], dtype=torch.uint8).numpy()
            parts = {k.removeprefix("framer."): tensors.pop(k) for k in list(tensors) if k.startswith("framer.")}
            framer = framer_of(parts, about["framer"]).to(device) if parts else None
            judged = {k.removeprefix("layout."): tensors.pop(k) for k in list(tensors) if k.startswith("layout.")}
            usual = Layout(**{k: v.to(device) for k, v in judged.items()}) if judged else None
            if usual is not None and len(usual.mean) != NUMBERS * len(classes):  # of an earlier version: see calibrate
                usual = None
            kind = STARTS[about.get("start", "scratch")]  # files of version 0.2 are all from scratch
            network = kind.fitting(tensors, len(classes))
            network.load_state_dict(tensors)
            size, licence, fit = int(about["resolution"]), about.get("licence"), about.get("fit", "crop")
            return cls(network.to(device), classes, size, palette, framer, usual, licence, fit)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            reason = str(error).split("\n")[0][:120]
            raise CheckpointError(
                "AutoShotSegmenter.load", "a whole auto-shot file", f"{path} ({reason})", "Make it again"
            ) from error

    def about(self) -> dict[str, Any]:
        """JSON-serialisable dict: classes, palette, resolution, fit, and the licence if it is known."""
        about: dict[str, Any] = {"classes": list(self.classes), "palette": self.palette.tolist()}
        about |= {"resolution": self.resolution, "fit": self.fit}
        return about if self.licence is None else {**about, "licence": self.licence}

    def export_onnx(self, path: str | Path) -> None:
        """Write the network as one ONNX file that works without this toolkit; see `onnx_file.export`."""
        onnx_file.export(*self._exported(), path)

    def export_html(self, path: str | Path) -> None:
        """Write the network as one page that segments pictures and the webcam in any browser, opened from a disk
        without a server or a connection; see `html_file.export`. The first time, ONNX Runtime Web is downloaded."""
        html_file.export(*self._exported(), path)

    def _exported(self) -> tuple[nn.Module, dict[str, Any]]:
        """The network that files for other programs hold, and what they say about it."""
        if self.layout is None:
            return self.network, self.about()
        return Judged(self.network, self.layout), {**self.about(), "low_trust": LOW}


def _warn_of_low_trust(results):
    low = sum(result.trust is not None and result.trust < LOW for result in results)
    if low:
        which = "this picture is" if len(results) == 1 else f"{low} of {len(results)} pictures are"
        warnings.warn(
            f"{which} unlike anything this network learned from (trust below {LOW}): do not believe the parts.",
            stacklevel=3,
        )


def _size(upload):
    """(width, height) of a PIL image or of a tensor (3, H, W)."""
    return tuple(upload.shape[:0:-1]) if isinstance(upload, Tensor) else upload.size


def _seen_size(size, resolution):
    """The size with `resolution` as its shorter side, but its longer one at most `LONGEST` times that."""
    scale = min(resolution / min(size), LONGEST * resolution / max(size))
    return tuple(max(1, round(side * scale)) for side in size)


def _resized(upload, size):
    """(3, h, w) in [-1, 1] from a PIL image or a tensor (3, H, W), antialiased; size is (w, h)."""
    if isinstance(upload, Tensor):
        if _size(upload) == size:
            return upload
        resized = F.interpolate(upload[None], size=size[::-1], mode="bilinear", antialias=True)
        return resized[0].clamp(-1, 1)
    return images.load_image(upload.resize(size, Image.Resampling.LANCZOS))[0]
