"""StyleGAN2's two networks under one roof; parameter names are those of the published files."""

from toolkit.gan.discriminator import Discriminator, DiscriminatorBlock
from toolkit.gan.generator import Generator, SynthesisConv
from toolkit.gan.layers import LRELU_GAIN, RESNET_GAIN, SLOPE, Conv, FullyConnected, Mapping, blur, fir, upsample

__all__ = [
    "LRELU_GAIN",
    "RESNET_GAIN",
    "SLOPE",
    "Conv",
    "Discriminator",
    "DiscriminatorBlock",
    "FullyConnected",
    "Generator",
    "Mapping",
    "SynthesisConv",
    "blur",
    "fir",
    "upsample",
]
