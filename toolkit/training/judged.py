"""Adversarial training with further judges, on features fixed by ImageNet, beside the discriminator of pixels.

The judges know at once what pictures show, where a discriminator must find out. What they ask of the generator is held
to a share of what the discriminator asks, and that share can fade: left alone, they win and leave patterns behind.
Source: Kumari et al. 2022 (arXiv:2112.09130), Sauer et al. 2021 (arXiv:2111.01007).
"""

from typing import Any

import torch
import torch.nn.functional as F

from toolkit.projection.imagenet import imagenet_features
from toolkit.training.gan import GANJob
from toolkit.training.judges import Heads, held, judges_loss, verdict, view
from toolkit.training.loop import Learner

NUM_STAGES = 4  # of the features
SMALLEST = 64  # pixels that the features need; smaller pictures are enlarged
RATE, BETAS = 2e-4, (0.0, 0.99)
SHARE = 0.3  # of the judges' gradient at a picture, against the discriminator's


class JudgedJob(GANJob):
    """As `GANJob`, with judges; it cannot be resumed. `share` may be lowered as it goes, and is 0 for none."""

    share = SHARE

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.features = imagenet_features(self.device)
        self.heads = Heads(NUM_STAGES).to(self.device, memory_format=torch.channels_last)
        self.learn_heads = Learner(self.heads, RATE, betas=BETAS, fused=True)

    def _discriminate(self, real, fake):
        if self.share:
            with torch.no_grad():
                on_real, on_fake = self._looked_at(real), self._looked_at(fake)
            self.learn_heads.learn(judges_loss(self.heads(on_real), self.heads(on_fake)))
        return super()._discriminate(real, fake)

    def _generate(self):
        if not self.share:
            return super()._generate()
        self.discriminator.requires_grad_(False)
        drawn = self._fake()
        leaf = drawn.detach().requires_grad_()
        loss = F.softplus(-self.discriminator(self._seen(leaf).to(self.dtype))).mean()
        (task,) = torch.autograd.grad(loss, leaf)
        (wish,) = torch.autograd.grad(-verdict(self.heads(self._looked_at(leaf))).mean(), leaf)
        # Its gradient at the pictures is the one wanted.
        self.drawing.learn((drawn * (task + held(wish, task, self.share))).sum())
        return loss.detach()

    def _looked_at(self, image):
        """Features of moved and recoloured views."""
        image = view(image.float(), self.rng)
        if image.shape[3] < SMALLEST:
            image = F.interpolate(image, size=(SMALLEST, SMALLEST), mode="bilinear")
        return self.features(image, NUM_STAGES)
