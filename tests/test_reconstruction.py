"""How near a GAN comes to pictures: its own are its own, others are not."""

import pytest
import torch

from toolkit import fewshot
from toolkit.errors import ToolkitError
from toolkit.experiments import reconstruction
from toolkit.pictures.images import save_png, to_pil


def test_kinds_are_told_apart(bundled_gan, tmp_path):
    noise = torch.rand(3, 64, 64, 3, generator=torch.Generator().manual_seed(0)).permute(0, 3, 1, 2) * 2 - 1
    for name, pictures in (("own", bundled_gan.sample(0, 4).image), ("noise", noise)):
        (tmp_path / name).mkdir()
        for i, picture in enumerate(pictures):
            save_png(tmp_path / name / f"{i}.png", to_pil(picture))
    found = reconstruction(bundled_gan, [tmp_path / "own", tmp_path / "noise"], num=4, num_steps=2)
    assert (found["own"]["pictures"], found["noise"]["pictures"]) == (4, 3)
    assert found["own"]["low trust"] == 0 and found["noise"]["low trust"] == 100
    assert found["own"]["guess"] > found["noise"]["guess"] + 5
    # No step may lose what the guess had; of a picture the best iterate is kept.
    assert found["own"]["projected"] >= found["own"]["guess"] - 0.2
    (own,) = reconstruction(bundled_gan, [tmp_path / "own"], num=2, num_steps=0).values()
    assert own["projected"] == own["guess"] and own["pictures"] == 2


def test_what_it_cannot_say_is_said(tiny_gan, tmp_path):
    with pytest.raises(ToolkitError, match="reconstruction: expected fit to be crop or pad; got 'zoom'"):
        reconstruction(tiny_gan, [tmp_path], fit="zoom")
    with pytest.raises(ToolkitError, match="reconstruction: expected a folder with pictures"):
        reconstruction(tiny_gan, [tmp_path])
    save_png(tmp_path / "one.png", to_pil(tiny_gan.sample().image))
    gan = fewshot.GAN(tiny_gan.generator)
    with pytest.raises(ToolkitError, match="a GAN that tells its trust; got none. Run calibrate first"):
        reconstruction(gan, [tmp_path], num_steps=1)
