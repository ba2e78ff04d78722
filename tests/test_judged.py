"""Judges beside a discriminator: without their share nothing changes, and with it they are held to it."""

import pytest
import torch
from small_training import PLAN, noise

from toolkit.training.gan import GANJob
from toolkit.training.judged import JudgedJob


@pytest.fixture(scope="module")
def pictures():
    return noise()


def new(kind, pictures, folder):
    return kind(pictures, folder, PLAN, mixed_precision="no")


def test_judges_without_a_share_change_nothing(pictures, tmp_path):
    plain, judged = new(GANJob, pictures, tmp_path), new(JudgedJob, pictures, tmp_path)
    judged.share = 0.0
    for _ in range(3):
        plain.step()
        judged.step()
    ours, theirs = plain.generator.state_dict(), judged.generator.state_dict()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def test_what_judges_ask_for_is_a_share_of_what_the_discriminator_asks_for(pictures, tmp_path):
    def asked(share):
        """The gradient that reaches the pictures."""
        job = new(JudgedJob, pictures, tmp_path)
        job.share, seen = share, []
        draw = job._fake

        def fake():
            drawn = draw()
            drawn.register_hook(seen.append)
            return drawn

        job._fake = fake
        job.rng.manual_seed(0)
        job._generate()
        return seen[0].flatten(1)

    task = asked(1e-9)
    for share in (0.1, 0.5):
        wish = asked(share) - task
        assert float(wish.norm(dim=1).mean()) == pytest.approx(share * float(task.norm(dim=1).mean()), rel=1e-3)


def test_judges_learn_to_tell_pictures_from_noise(pictures, tmp_path):
    job = new(JudgedJob, pictures, tmp_path)
    real, fake = torch.zeros(8, 3, 8, 8), torch.rand(8, 3, 8, 8) * 2 - 1
    for _ in range(30):
        job._discriminate(real, fake)
    with torch.no_grad():
        on_real, on_fake = (sum(float(v.mean()) for v in job.heads(job._looked_at(image))) for image in (real, fake))
    assert on_real > on_fake + 0.5
