"""The encoder: a picture's latent in one forward pass, to start optimisation from, or where speed matters most."""

import hashlib
import json
from collections.abc import Mapping
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
COMPONENTS_SIDE = 64  # and before their principal components are taken
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
        x = _averaged(image, self.resolution, self.side).contiguous(memory_format=torch.channels_last)
        for block in self.blocks:
            x = block(x)
        x = self.out(self.hidden(x.float().flatten(1)))
        return self.w_avg + x.view(-1, self.num_ws, self.w_dim) * (self.w_std / self.w_dim**0.5)

    @property
    def sizes(self) -> dict[str, Any]:
        """What `load_encoder` needs to build such a one."""
        return {"resolution": self.resolution, "num_ws": self.num_ws, "channels": self.channels}

    @classmethod
    def of(cls, sizes: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> "Encoder":
        """One of these sizes, with these tensors."""
        channels = {int(r): c for r, c in sizes["channels"].items()}
        encoder = cls(sizes["resolution"], channels, sizes["num_ws"], len(tensors["w_avg"]))
        encoder.load_state_dict(tensors)
        return encoder


class PrincipalEncoder(nn.Module):
    """Image -> W: the picture's principal components, a linear layer and a small network beside it.

    The encoder that `toolkit.training.autoencoder` trains a generator with: it costs next to nothing beside
    the generator, and hands it something to start from that a convolutional encoder must learn first.

    Args:
        resolution: of the pictures; above 64 they are averaged down.
        num_components, num_ws, w_dim: sizes; one w serves all num_ws layers.
    """

    mean: Tensor
    basis: Tensor
    deviation: Tensor
    w_avg: Tensor
    w_std: Tensor
    # Set by `load_encoder`.
    hash: str
    metadata: dict[str, Any]
    calibration: Tensor | None

    def __init__(self, resolution: int, num_components: int, num_ws: int, w_dim: int) -> None:
        super().__init__()
        self.resolution, self.num_components, self.num_ws, self.w_dim = resolution, num_components, num_ws, w_dim
        self.side = min(resolution, COMPONENTS_SIDE)
        size = 3 * self.side**2
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("basis", torch.zeros(size, num_components))
        self.register_buffer("deviation", torch.ones(num_components))
        self.linear = nn.Linear(num_components, w_dim)
        self.hidden0 = FullyConnected(num_components, HIDDEN, activate=True)
        self.hidden1 = FullyConnected(HIDDEN, HIDDEN, activate=True)
        self.out = FullyConnected(HIDDEN, w_dim)
        nn.init.zeros_(self.out.weight)  # linear at first
        nn.init.zeros_(self.linear.bias)
        self.register_buffer("w_avg", torch.zeros(w_dim))
        self.register_buffer("w_std", torch.ones(()))

    @torch.no_grad()
    def start(self, mean: Tensor, basis: Tensor, variance: Tensor) -> None:
        """Take principal components (D,), (D, K), (K,), and answer with the first w_dim of them.

        Each counts by the root of its deviation: all alike, the fine ones would drown the telling ones;
        by the deviation itself, the fine ones would never be learned.
        """
        self.mean.copy_(mean)
        self.basis.copy_(basis)
        self.deviation.copy_(variance.sqrt().clamp_min(1e-8))
        self.linear.weight.copy_(torch.eye(self.w_dim, self.num_components) * self._importance())

    def _importance(self) -> Tensor:
        return (self.deviation / self.deviation.square().mean().sqrt()).sqrt()

    def components(self, image: Tensor) -> Tensor:
        """image (N, 3, R, R) in [-1, 1] -> principal components (N, K) of variance 1.

        Raises:
            ShapeError: image does not match the resolution.
        """
        x = _averaged(image, self.resolution, self.side)
        return ((x.float().flatten(1) - self.mean) @ self.basis) / self.deviation

    def codes(self, components: Tensor) -> Tensor:
        """components (N, K) of variance 1 -> w (N, w_dim)."""
        return self.linear(components) + self.out(self.hidden1(self.hidden0(components * self._importance())))

    def forward(self, image: Tensor) -> Tensor:
        """Guess the latents of some pictures.

        Args:
            image: (N, 3, R, R) float in [-1, 1].
        Returns:
            ws (N, num_ws, w_dim) float32.
        Raises:
            ShapeError: image does not match the resolution.
        """
        return self.codes(self.components(image))[:, None].repeat(1, self.num_ws, 1)

    @property
    def sizes(self) -> dict[str, Any]:
        """What `load_encoder` needs to build such a one."""
        return {"resolution": self.resolution, "num_ws": self.num_ws}

    @classmethod
    def of(cls, sizes: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> "PrincipalEncoder":
        """One of these sizes, with these tensors."""
        num_components, w_dim = tensors["basis"].shape[1], len(tensors["w_avg"])
        encoder = cls(sizes["resolution"], num_components, sizes["num_ws"], w_dim)
        encoder.load_state_dict(tensors)
        return encoder


AnyEncoder = Encoder | PrincipalEncoder
KINDS: dict[str, type[Encoder] | type[PrincipalEncoder]] = {"convolutional": Encoder, "principal": PrincipalEncoder}


def _averaged(image, resolution, side):
    if image.dim() != 4 or image.shape[1:] != (3, resolution, resolution):
        want = f"image (N, 3, {resolution}, {resolution}) in [-1, 1]"
        raise ShapeError("Encoder", want, describe(image), "Resize it, or use the encoder of this GAN")
    return F.interpolate(image, size=(side, side), mode="area") if side < resolution else image


def save_encoder(
    path: str | Path,
    encoder: AnyEncoder,
    metadata: dict[str, Any],
    calibration: Tensor | None = None,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write an encoder, whole or not at all.

    Args:
        path: the .safetensors file.
        encoder: `Encoder` or `PrincipalEncoder`.
        metadata: dict that JSON can hold; "gan_hash" says which GAN it belongs to.
        calibration: (M, 2) errors of its guesses at in-world pictures, see `trust`; None for none.
        dtype: of the stored weights; float16 halves the file.
    """
    tensors = {k: v.detach().to("cpu", dtype).contiguous() for k, v in encoder.state_dict().items()}
    if calibration is not None:
        tensors["calibration"] = calibration.cpu().float().contiguous()
    (kind,) = (name for name, cls in KINDS.items() if isinstance(encoder, cls))
    facts = {"format": "encoder", **metadata, "kind": kind, **encoder.sizes}
    with replace_when_done(path) as temporary:
        save_file(tensors, temporary, {"toolkit": json.dumps(facts)})


def load_encoder(path: str | Path, device: str | torch.device = "cpu") -> AnyEncoder:
    """Read a file written by `save_encoder`.

    Returns:
        `Encoder` or `PrincipalEncoder` in eval mode, without gradients; with its `metadata`, its
        `calibration` (M, 2) or None, and its `hash`, a sha256 of its parameters.
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
        encoder = KINDS[metadata.get("kind", "convolutional")].of(metadata, tensors)
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
