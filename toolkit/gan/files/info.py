"""What is inside a GAN, as tables."""

from typing import Any

from toolkit.gan.features import channels
from toolkit.gan.files.checkpoints import one_line
from toolkit.gan.stylegan2 import Discriminator, Generator
from toolkit.projection.imagenet import layer_channels


def describe_gan(generator: Generator, discriminator: Discriminator | None = None) -> dict[str, Any]:
    """Facts and sizes of the networks.

    Args:
        generator: `Generator` with `.metadata` and `.hash`.
        discriminator: `Discriminator` or None.
    Returns:
        JSON-serialisable dict: facts by name, and "layers", a list with a dict for each synthesis layer.
    """
    synthesis, mapping = generator.synthesis, generator.mapping
    layers = [
        {
            "layer": name,
            "size": f"{layer.resolution}x{layer.resolution}",
            "channels": layer.weight.shape[0],
            "noise": round(float(layer.noise_strength), 4),
        }
        for name, layer in synthesis.layers().items()
    ]
    seen = sum(layer_channels(generator.resolution).values()) if generator.metadata.get("imagenet_features") else 0
    meta = {key: one_line(value) for key, value in generator.metadata.items()}
    made = ", ".join(map(one_line, generator.metadata.get("derived", [])))
    return {
        "name": meta.get("name", "none"),
        "source": meta.get("source", "trained by this toolkit"),
        "licence": meta.get("licence", "not known: see where the file came from"),
        **{key: meta[key] for key in ("draws", "fit", "credit", "remark") if key in meta},
        "hash": generator.hash,
        "resolution": generator.resolution,
        "z_dim": generator.z_dim,
        "w_dim": generator.w_dim,
        "num_ws": generator.num_ws,
        "mapping layers": mapping.num_layers,
        "classes": generator.c_dim or "none",
        "colours": "grayscale" if generator.img_channels == 1 else f"{generator.img_channels} channels",
        "generator": synthesis.architecture,
        "clamp": synthesis.conv_clamp or "none",
        "parameters": sum(p.numel() for p in generator.parameters()),
        "discriminator": discriminator.architecture if discriminator else "none in this file",
        "hypercolumn channels": sum(channels(generator, bool(seen)).values()) - seen,
        "ImageNet channels": seen or "none",
        "made by the toolkit": made or "nothing: all tensors are the file's",
        "layers": layers,
    }
