import pytest
import torch

from toolkit import fewshot
from toolkit.errors import CheckpointError, ShapeError
from toolkit.files import load_tensors, save_tensors
from toolkit.parts.sample import Sample


def test_a_generated_sample_is_its_own_reconstruction(tiny_gan):
    assert tiny_gan.sample(2).psnr.isinf().all()


def test_some_of_the_pictures_keep_all_that_is_known_of_them(tiny_gan):
    sample = tiny_gan.project(tiny_gan.sample(num=3).image, num_steps=1, noise=True)
    sample.trust, sample.frames = torch.tensor([0.1, 0.2, 0.3]), ["a", "b", "c"]
    for index, one in ((1, slice(1, 2)), (-1, slice(2, 3)), (slice(0, 2), slice(0, 2))):
        some = sample[index]
        assert torch.equal(some.image, sample.image[one]) and torch.equal(some.ws, sample.ws[one])
        assert torch.equal(some.trust, sample.trust[one]) and some.frames == sample.frames[one]
        assert all(torch.equal(n, sample.noise[name][one]) for name, n in some.noise.items())
        assert torch.equal(some.psnr, sample.psnr[one])


@pytest.mark.parametrize("kind", ["generated", "projected"])
def test_a_sample_survives_its_file(tiny_gan, tmp_path, kind):
    sample = tiny_gan.sample(seed=1, num=2)
    if kind == "projected":
        sample = tiny_gan.project(sample.image, num_steps=1, noise=True)
        sample.trust = torch.tensor([0.5, 0.25])
    fewshot.save_sample(tmp_path / "s.safetensors", sample, tiny_gan)
    loaded = fewshot.load_sample(tmp_path / "s.safetensors", tiny_gan)
    for name in ("image", "ws", "reconstruction"):
        assert torch.equal(getattr(loaded, name), getattr(sample, name))
    assert loaded.noise.keys() == sample.noise.keys()
    assert all(torch.equal(loaded.noise[name], sample.noise[name]) for name in sample.noise)
    assert (loaded.trust is None) if sample.trust is None else torch.equal(loaded.trust, sample.trust)


def test_a_sample_file_that_lacks_something_or_is_of_another_gan(tiny_gan, tmp_path, monkeypatch):
    path = tmp_path / "s.safetensors"
    fewshot.save_sample(path, tiny_gan.sample(), tiny_gan)
    tensors, about = load_tensors(path, "sample", "test")
    save_tensors(path, {name: t for name, t in tensors.items() if name != "ws"}, about)
    with pytest.raises(CheckpointError, match="load_sample: expected a whole sample file; got .* without 'ws'"):
        fewshot.load_sample(path, tiny_gan)
    save_tensors(path, tensors, {"format": "sample"})
    with pytest.raises(CheckpointError, match=r"load_sample: expected latents of GAN \w{12}; got those of None"):
        fewshot.load_sample(path, tiny_gan)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_floats_of_other_widths_are_as_good(tiny_gan, dtype):
    sample = tiny_gan.sample(seed=1)
    other = Sample(sample.image.to(dtype), sample.ws.to(dtype), {"b16.conv1": torch.ones(1, 1, 16, 16, dtype=dtype)})
    assert other.ws.dtype == other.image.dtype == torch.float32
    assert torch.isfinite(tiny_gan.hypercolumns(other).dense()).all()
    generator, ws = tiny_gan.generator, sample.ws.to(dtype)
    assert torch.equal(generator.synthesis(ws), generator.synthesis(ws.float()))
    z = torch.randn(2, 8).to(dtype)
    assert torch.equal(generator.mapping(z), generator.mapping(z.float()))


def test_latents_that_are_no_floats_are_one_line(tiny_gan):
    sample = tiny_gan.sample()
    with pytest.raises(ShapeError, match="Sample: expected an array of floats; got Tensor"):
        Sample(sample.image, sample.ws.long())
    with pytest.raises(ShapeError, match="synthesis: expected ws"):
        tiny_gan.generator.synthesis(sample.ws.long())
    with pytest.raises(ShapeError, match="mapping: expected z"):
        tiny_gan.generator.mapping(torch.zeros(1, 8, dtype=torch.long))
