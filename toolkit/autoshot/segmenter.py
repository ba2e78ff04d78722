"""Segment pictures of any size in one forward pass of a U-Net: no GAN, no projection."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from toolkit.autoshot import onnx_file
from toolkit.devices import check_device
from toolkit.errors import CheckpointError, ShapeError, describe
from toolkit.files import load_tensors, save_tensors
from toolkit.parts.networks import UNet
from toolkit.parts.result import Result
from toolkit.pictures import images, labels, shown
from toolkit.pictures.images import Frame
from toolkit.pictures.uploads import open_rgb

LONGEST = 16  # times the resolution: the longest side of the network's input
BATCH_SIZE = 16
RESULT_PIXELS = 1 << 20  # of a result's label map at most; larger uploads take the nearest label


class AutoShotSegmenter:
    """A U-Net with its classes and colours. Make one with `autoshot.train` or `AutoShotSegmenter.load`.

    Args:
        network: `UNet`, as many logits as classes.
        classes: names, background first.
        resolution: of the pictures it learned from.
        palette: (K, 3) uint8; None for the default.
    """

    def __init__(
        self, network: nn.Module, classes: Sequence[str], resolution: int, palette: np.ndarray | None = None
    ) -> None:
        self.network, self.resolution = network.eval().requires_grad_(False), resolution
        self.classes = labels.check_classes(classes, "AutoShotSegmenter")
        self.palette = labels.default_palette(len(self.classes)) if palette is None else palette

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

    def segment(self, source: Any, resolution: int | None = None) -> Result | list[Result]:
        """Segment pictures, in their own pixels.

        Args:
            source: whatever `images.load_image` takes; a list of such, or a tensor of several pictures,
                gives a list.
            resolution: shorter side of the network's input; None for that of the training pictures,
                which suits uploads with similar framing.
        Returns:
            `Result`, or a list of them. Its image and label map have the upload's size, up to a million
            pixels; `full_label_map` has it always.
        Raises:
            ImageError, ShapeError: as `images.load_image`, or a resolution below 1.
        """
        resolution = self.resolution if resolution is None else resolution
        if not isinstance(resolution, int) or resolution < 1:
            raise ShapeError("segment", "resolution >= 1, an int", describe(resolution), "Use e.g. 128")
        uploads = []
        for one in source if isinstance(source, (list, tuple)) else [source]:
            uploads += images.load_image(one) if isinstance(one, Tensor) else [open_rgb(one, "segment")]
        seen = [_resized(upload, _seen_size(_size(upload), resolution)) for upload in uploads]
        results: list[Any] = [None] * len(uploads)
        for shape in {x.shape for x in seen}:  # pictures of one size share their batches
            alike = [i for i, x in enumerate(seen) if x.shape == shape]
            for i, logits in zip(alike, self.predict(torch.stack([seen[i] for i in alike])), strict=True):
                results[i] = self._result(uploads[i], logits)
        return results if isinstance(source, (list, tuple)) or len(results) > 1 else results[0]

    def _result(self, upload, logits):
        width, height = size = _size(upload)
        shrink = min(1.0, (RESULT_PIXELS / (width * height)) ** 0.5)
        shown = _resized(upload, (max(1, int(width * shrink)), max(1, int(height * shrink))))
        # Upsample logits, not labels: interpolation places edges between the network's pixels.
        logits = F.interpolate(logits[None], size=shown.shape[1:], mode="bilinear", align_corners=False)
        frame = Frame((0.0, 0.0, float(width), float(height)), size)
        full_image = None if isinstance(upload, Tensor) else upload
        return Result(shown, logits[0].argmax(0), self.classes, self.palette, frame=frame, full_image=full_image)

    def save(self, path: str | PathLike, dtype: torch.dtype = torch.float32) -> None:
        """Write network, classes and palette to one safetensors file, whole or not at all.

        Args:
            path: the file.
            dtype: of the stored weights; float16 halves the file.
        """
        state = {k: v.to(dtype) if v.is_floating_point() else v for k, v in self.network.state_dict().items()}
        save_tensors(path, state, {"format": "autoshot", **self.about()})

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
            network = UNet(len(classes), tensors["down.0.0.weight"].shape[0])
            network.load_state_dict(tensors)
            return cls(network.to(device), classes, int(about["resolution"]), palette)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            reason = str(error).split("\n")[0][:120]
            raise CheckpointError(
                "AutoShotSegmenter.load", "a whole auto-shot file", f"{path} ({reason})", "Make it again"
            ) from error

    def about(self) -> dict[str, Any]:
        """JSON-serialisable dict: classes, palette, resolution."""
        return {"classes": list(self.classes), "palette": self.palette.tolist(), "resolution": self.resolution}

    def export_onnx(self, path: str | Path) -> None:
        """Write the network as one ONNX file that works without this toolkit; see `onnx_file.export`."""
        onnx_file.export(self.network, self.about(), path)


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
