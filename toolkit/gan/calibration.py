"""How well a GAN redraws pictures of its own kind: the errors by which trust is told of others."""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from toolkit.errors import WriteError
from toolkit.files import replace_when_done
from toolkit.gan.encoder import AnyEncoder
from toolkit.gan.files import zoo
from toolkit.gan.stylegan2 import Discriminator, Generator
from toolkit.projection import projector
from toolkit.projection.imagenet import distance


class Calibrator(NamedTuple):
    """Measures the errors of projections by these networks, and keeps those of the GAN's own pictures in the cache.

    generator: that draws; encoder, discriminator: that projections use, None where there are none.
    imagenet: whether ImageNet's features see the pictures; then they judge where no discriminator does.
    """

    generator: Generator
    encoder: AnyEncoder | None
    discriminator: Discriminator | None
    imagenet: bool

    @property
    def networks(self) -> dict[str, Any]:
        """What a projection uses besides the generator."""
        return {"encoder": self.encoder, "discriminator": self.discriminator}

    def errors(self, image: Tensor, num_steps: int, progress: bool = False) -> Tensor:
        """Errors (N, 2) of pictures (N, 3, R, R) in [-1, 1] after `num_steps` of projection: pixel, perceptual."""
        found = projector.project(self.generator, image, num_steps=num_steps, progress=progress, **self.networks)
        return found.errors if self.encoder is None or num_steps else self.first_errors(image, found)

    @torch.no_grad()
    def first_errors(self, image: Tensor, found: projector.Projection) -> Tensor:
        """Errors of the encoder's guess.

        Pixels alone cannot tell a horse from a face of its colours: without a discriminator, ImageNet's features do.

        Args:
            image: (N, 3, R, R) in [-1, 1]; found: their projection.
        Returns:
            (N, 2): pixel, perceptual.
        """
        if not self.imagenet or self.discriminator is not None or self.encoder is None:
            return found.first_errors
        image = image.to(self.generator.mapping.w_avg.device)
        guess = self.generator.synthesis(self.encoder(image), noise_mode="none").clamp(-1, 1)
        return torch.stack([found.first_errors[:, 0], distance(guess, image)], 1)

    def measuring(self, num_steps: int, num: int, draw: Callable[[int], Tensor]) -> Iterator[tuple[int, int, Tensor]]:
        """Project pictures of the GAN; what was measured is kept, and the same call goes on where it stopped.

        Args:
            num_steps: of each projection; of an encoder's guess 0.
            num: pictures.
            draw: the picture (1, 3, R, R) of a seed.
        Yields:
            (done, total, errors (M, 2)): picture-steps so far and in all, and what is known.
        """
        errors = self.kept(num_steps)
        total = num * max(1, num_steps)
        while len(errors) < num:
            seeds = range(len(errors), min(num, len(errors) + projector.at_once(self.generator.resolution)))
            image = torch.cat([draw(seed) for seed in seeds])
            steps = projector.projecting(self.generator, image, num_steps=num_steps, every=5, **self.networks)
            for done, _, found in steps:  # noqa: B007 the last one is kept
                if done < len(image) * num_steps:
                    yield len(errors) * num_steps + done, total, errors
            errors = torch.cat([errors, found.errors if self.encoder is None else self.first_errors(image, found)])
            self._keep(num_steps, errors)
            yield len(errors) * max(1, num_steps), total, errors
        yield total, total, errors

    def kept(self, num_steps: int) -> Tensor:
        """The errors (M, 2) in the cache; M = 0 where there are none, or the file is damaged."""
        try:
            errors = load_file(self._file(num_steps))["errors"]
        except (OSError, SafetensorError, KeyError):
            errors = torch.zeros(0, 2)
        return errors.to(self.generator.mapping.w_avg.device)

    def _keep(self, num_steps, errors):
        """Write errors to the cache; one that cannot be written is a warning, not an error."""
        try:
            with replace_when_done(self._file(num_steps)) as temporary:
                save_file({"errors": errors.cpu().contiguous()}, temporary)
        except WriteError as error:
            warnings.warn(f"{error} Or set TOOLKIT_CACHE; until then it is worked out anew each time.", stacklevel=5)

    def _file(self, num_steps) -> Path:
        generator = self.generator
        guess = f"w_avg-{generator.mapping.class_index}" if self.encoder is None else self.encoder.hash[:8]
        # The perceptual error uses the discriminator, so errors without one are not comparable.
        judge = "judged" if self.discriminator is not None else "seen" if self.imagenet else "alone"
        return zoo.cache_folder() / f"calibration-{generator.hash[:16]}-{guess}-{num_steps}-{judge}.safetensors"
