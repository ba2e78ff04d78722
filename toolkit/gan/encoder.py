"""The encoder: a picture's latent in one forward pass, to start optimisation from, or where speed matters most."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from toolkit.devices import check_device
from toolkit.errors import CheckpointError, ShapeError, describe
from toolkit.files import replace_when_done
from toolkit.gan.stylegan2 import Discriminator, FullyConnected

MAX_SIDE = 256  # larger pictures are area-averaged first: latents do not need finer detail
HIDDEN = 512


class Encoder(nn.Module):
    """Image -> W+: a discriminator's convolutions, then two fully connected layers.

    The features a discriminator has learned are those an encoder needs, so the GAN's own discriminator
    gives the best initial weights.

    Args:
        resolution: of the pictures; above 256 they are averaged down.
        channels: resolution -> channels, for 4, 8, ..., min(resolution, 256).
        num_ws, w_dim: of the generator.
    """

    w_avg: Tensor
    w_std: Tensor
    # Set by `load_encoder`.
    hash: str
    metadata: dict[str, Any]
    calibration: Tensor | None

    def __init__(self, resolution: int, channels: dict[int, int], num_ws: int, w_dim: int) -> None:
        super().__init__()
        self.resolution, self.num_ws, self.w_dim = resolution, num_ws, w_dim
        self.side = min(resolution, MAX_SIDE)
        self.channels = {r: c for r, c in channels.items() if r <= self.side}
        trunk = Discriminator(self.side, self.channels)
        self.blocks = nn.ModuleList(trunk.blocks())
        self.hidden = FullyConnected(16 * channels[4], HIDDEN, activate=True)
        self.out = FullyConnected(HIDDEN, num_ws * w_dim)
        nn.init.zeros_(self.out.weight)  # an untrained encoder answers with the average picture's latent
        self.register_buffer("w_avg", torch.zeros(w_dim))
        self.register_buffer("w_std", torch.ones(()))

    def forward(self, image: Tensor) -> Tensor:
        """Guess the latents of some pictures.

        Args:
            image: (N, 3, R, R) float in [-1, 1].
        Returns:
            ws (N, num_ws, w_dim) float32.
        Raises:
            ShapeError: image does not match the resolution.
        """
        if image.dim() != 4 or image.shape[1:] != (3, self.resolution, self.resolution):
            want = f"image (N, 3, {self.resolution}, {self.resolution}) in [-1, 1]"
            raise ShapeError("Encoder", want, describe(image), "Resize it, or use the encoder of this GAN")
        x = F.interpolate(image, size=(self.side, self.side), mode="area") if self.side < self.resolution else image
        x = x.contiguous(memory_format=torch.channels_last)
        for block in self.blocks:
            x = block(x)
        x = self.out(self.hidden(x.float().flatten(1)))
        return self.w_avg + x.view(-1, self.num_ws, self.w_dim) * (self.w_std / self.w_dim**0.5)


def save_encoder(
    path: str | Path,
    encoder: Encoder,
    metadata: dict[str, Any],
    calibration: Tensor | None = None,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write an encoder, whole or not at all.

    Args:
        path: the .safetensors file.
        encoder: `Encoder`.
        metadata: dict that JSON can hold; "gan_hash" says which GAN it belongs to.
        calibration: (M, 2) errors of its guesses at in-world pictures, see `trust`; None for none.
        dtype: of the stored weights; float16 halves the file.
    """
    tensors = {k: v.detach().to("cpu", dtype).contiguous() for k, v in encoder.state_dict().items()}
    if calibration is not None:
        tensors["calibration"] = calibration.cpu().float().contiguous()
    sizes = {"resolution": encoder.resolution, "num_ws": encoder.num_ws, "channels": encoder.channels}
    with replace_when_done(path) as temporary:
        save_file(tensors, temporary, {"toolkit": json.dumps({"format": "encoder", **sizes, **metadata})})


def load_encoder(path: str | Path, device: str | torch.device = "cpu") -> Encoder:
    """Read a file written by `save_encoder`.

    Returns:
        `Encoder` in eval mode, without gradients; with its `metadata`, its `calibration` (M, 2) or
        None, and its `hash`, a sha256 of its parameters.
    Raises:
        CheckpointError: not such a file.
    """
    device = check_device(device, "load_encoder")
    try:
        with safe_open(path, "pt") as file:
            metadata = json.loads((file.metadata() or {}).get("toolkit", "{}"))
            tensors = {k: file.get_tensor(k).float() for k in file.keys()}
        if metadata.get("format") != "encoder":
            raise CheckpointError("load_encoder", "an encoder's file", f"another kind at {path}", "Check the path")
        calibration = tensors.pop("calibration", None)
        channels = {int(r): c for r, c in metadata["channels"].items()}
        encoder = Encoder(metadata["resolution"], channels, metadata["num_ws"], len(tensors["w_avg"]))
        encoder.load_state_dict(tensors)
    except (OSError, SafetensorError, ValueError, KeyError, RuntimeError) as error:
        if isinstance(error, CheckpointError):
            raise
        reason = str(error).split("\n")[0]
        raise CheckpointError("load_encoder", "an encoder's file", f"{path} ({reason})", "Check the path") from error
    encoder.metadata = metadata
    encoder.calibration = None if calibration is None else calibration.to(device)
    parameters = b"".join(tensors[k].contiguous().numpy().tobytes() for k in sorted(tensors))
    encoder.hash = hashlib.sha256(parameters).hexdigest()
    return encoder.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)
