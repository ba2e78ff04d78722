"""The networks: equal to the published ones on stored examples, and true to their own definitions."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from toolkit.errors import ShapeError
from toolkit.gan import stylegan2
from toolkit.gan.stylegan2 import Discriminator, Generator

CHANNELS = {4: 16, 8: 16, 16: 16, 32: 16}
TAPS = torch.tensor([1.0, 3.0, 3.0, 1.0])


@pytest.fixture(scope="module")
def golden():
    with np.load(Path(__file__).parent / "golden" / "stylegan2_r32.npz") as file:
        return {name: torch.tensor(file[name]) for name in file.files}


def weights(golden, prefix):
    return {name.removeprefix(prefix): t for name, t in golden.items() if name.startswith(prefix)}


@pytest.fixture(scope="module")
def published_generator(golden):
    generator = Generator(32, 16, 16, CHANNELS, 2).eval().requires_grad_(False)
    generator.load_state_dict(weights(golden, "G_ema/"))
    return generator


@pytest.fixture(scope="module")
def published_discriminator(golden):
    discriminator = Discriminator(32, CHANNELS).eval().requires_grad_(False)
    discriminator.load_state_dict(weights(golden, "D/"))
    return discriminator


@pytest.fixture()
def generator():
    torch.manual_seed(0)
    generator = Generator(16, 6, 8, {4: 12, 8: 8, 16: 4}, 3).requires_grad_(False)
    for layer in generator.synthesis.layers().values():
        layer.noise_strength.fill_(0.3)
    return generator


def assert_agrees(ours, reference):
    """The agreement promised with published files: 1e-5 of the reference's largest magnitude."""
    assert ours.shape == reference.shape
    assert float((ours - reference).abs().max()) <= 1e-5 * float(reference.abs().max())


# ---- equal to the published arithmetic ----------------------------------------------------
@pytest.mark.parametrize(
    "name, truncation",
    [("w", {}), ("w_psi0.7", {"truncation_psi": 0.7}),
     ("w_psi0.7_cutoff4", {"truncation_psi": 0.7, "truncation_cutoff": 4})],
)
def test_mapping_agrees_with_published(golden, published_generator, name, truncation):
    assert_agrees(published_generator.mapping(golden["out/z"], **truncation), golden[f"out/{name}"])


@pytest.mark.parametrize(
    "name, latent, noise_mode",
    [("image_const", "w", "const"), ("image_none", "w", "none"),
     ("image_psi0.7_const", "w_psi0.7", "const"), ("image_wplus_const", "wplus", "const")],
)
def test_image_agrees_with_published(golden, published_generator, name, latent, noise_mode):
    reference = golden[f"out/{name}"]
    ws = golden[f"out/{latent}"][: len(reference)]
    assert_agrees(published_generator.synthesis(ws, noise_mode=noise_mode), reference)


def test_training_weights_agree_with_published(golden):
    generator = Generator(32, 16, 16, CHANNELS, 2)
    generator.load_state_dict(weights(golden, "G/"))
    reference = golden["out/image_const_from_G"]
    with torch.no_grad():
        assert_agrees(generator(golden["out/z"][: len(reference)]), reference)


def test_every_activation_agrees_with_published(golden, published_generator):
    _, activations = published_generator.synthesis(golden["out/w"][:1], return_activations=True)
    references = weights(golden, "out/act/")
    assert list(activations) == ["b4.conv1", "b8.conv0", "b8.conv1", "b16.conv0", "b16.conv1",
                                 "b32.conv0", "b32.conv1"]
    assert set(activations) == set(references)
    for name, activation in activations.items():
        assert_agrees(activation, references[name])


def test_discriminator_agrees_with_published(golden, published_discriminator):
    image = golden["out/image_const"]
    assert_agrees(published_discriminator(image), golden["out/logits"])
    assert_agrees(published_discriminator(image[:2]), golden["out/logits_n2"])
    alone = torch.cat([published_discriminator(one[None]) for one in image])
    assert_agrees(alone, golden["out/logits_n1"])
    for feature, name in zip(published_discriminator.features(image[:1]), ("b32", "b16", "b8")):
        assert_agrees(feature, golden[f"out/dact/{name}"])


def test_minibatch_stddev_agrees_with_published(golden, published_discriminator):
    x = golden["out/dact/b4.mbstd"]
    assert_agrees(published_discriminator.b4.minibatch_stddev(x[:, :-1]), x)


# ---- identities ---------------------------------------------------------------------------
def test_mapping_ignores_the_length_of_z(generator):
    z = torch.randn(3, 6)
    assert torch.allclose(generator.mapping(z), generator.mapping(5 * z), atol=1e-5)


def test_truncation_to_zero_is_the_average(generator):
    generator.mapping.w_avg.normal_()
    ws = generator.mapping(torch.randn(2, 6), truncation_psi=0.0)
    assert torch.equal(ws, generator.mapping.w_avg.expand(2, generator.num_ws, 8))


@pytest.mark.parametrize("up", [False, True])
def test_convolution_equals_one_kernel_per_sample(up):
    torch.manual_seed(0)
    layer = stylegan2.SynthesisConv(6, 5, 8, 16, up=up, conv_clamp=None).requires_grad_(False)
    layer.bias.normal_()
    side = 8 if up else 16
    x, w = torch.randn(3, 6, side, side), torch.randn(3, 8)
    for i, style in enumerate(layer.affine(w)):
        kernel = layer.weight * style[None, :, None, None]
        kernel = kernel / (kernel.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if up:  # zero-insertion, then convolution by the flipped kernel, then the low-pass filter
            wide = x.new_zeros(1, 6, 15, 15)
            wide[:, :, ::2, ::2] = x[i : i + 1]
            y = F.conv2d(wide, kernel.flip(2, 3), padding=2)
            fir = torch.outer(TAPS, TAPS) / 16
            y = F.conv2d(F.pad(y, (1, 1, 1, 1)), fir.expand(5, 1, 4, 4), groups=5)
        else:
            y = F.conv2d(x[i : i + 1], kernel, padding=1)
        y = F.leaky_relu(y + layer.bias[None, :, None, None], 0.2) * 2**0.5
        assert torch.allclose(layer(x, w, None)[i : i + 1], y, atol=1e-5)


def test_convolution_does_not_feel_the_scale_of_its_style():
    layer = stylegan2.SynthesisConv(6, 5, 8, 8, up=False, conv_clamp=None).requires_grad_(False)
    x, w = torch.randn(2, 6, 8, 8), torch.randn(2, 8)
    before = layer(x, w, None)
    layer.affine.weight.mul_(7)
    layer.affine.bias.mul_(7)
    assert torch.allclose(layer(x, w, None), before, atol=1e-5)


def test_upsampling_is_zero_insertion_and_filter():
    image = torch.randn(2, 3, 5, 5)
    wide = torch.zeros(2, 3, 10, 10)
    wide[:, :, ::2, ::2] = image
    fir = (torch.outer(TAPS, TAPS) / 16).expand(3, 1, 4, 4)
    expected = F.conv2d(F.pad(wide, (2, 1, 2, 1)), fir, groups=3)
    assert torch.allclose(stylegan2.upsample(image), expected, atol=1e-6)


def test_blur_leaves_a_flat_picture_flat():
    assert torch.allclose(stylegan2.blur(torch.ones(1, 2, 8, 8), pad=0), torch.ones(1, 2, 5, 5))


def test_a_row_of_ws_reaches_its_layer_and_those_above_only(generator):
    ws = generator.mapping(torch.randn(1, 6))
    _, before = generator.synthesis(ws, return_activations=True)
    ws[:, 3] += 1  # b4.conv1, b8.conv0, b8.conv1, then row 3: b16.conv0
    _, after = generator.synthesis(ws, return_activations=True)
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    assert changed == ["b16.conv0", "b16.conv1"]


def test_minibatch_stddev_of_alike_and_of_opposite_samples():
    epilogue = Discriminator(8, {4: 4, 8: 4}).b4
    alike = epilogue.minibatch_stddev(torch.ones(4, 4, 4, 4))[:, -1]
    opposite = torch.tensor([1.0, -1.0, 1.0, -1.0])[:, None, None, None].expand(4, 4, 4, 4)
    assert torch.allclose(alike, torch.full((4, 4, 4), 1e-4))
    assert torch.allclose(epilogue.minibatch_stddev(opposite)[:, -1], torch.ones(4, 4, 4))


def test_clamp_bounds_every_activation():
    generator = Generator(8, 4, 4, {4: 4, 8: 4}, 1, conv_clamp=0.1).requires_grad_(False)
    _, activations = generator(torch.randn(2, 4), return_activations=True)
    assert all(float(a.abs().max()) == pytest.approx(0.1) for a in activations.values())


# ---- noise --------------------------------------------------------------------------------
def test_given_noise_replaces_the_stored_noise(generator):
    ws = generator.mapping(torch.randn(2, 6))
    stored = {name: layer.noise_const[None, None] for name, layer in generator.synthesis.layers().items()}
    assert torch.equal(generator.synthesis(ws, "none", noise=stored), generator.synthesis(ws, "const"))
    zeros = {name: torch.zeros_like(value) for name, value in stored.items()}
    assert torch.allclose(generator.synthesis(ws, noise=zeros), generator.synthesis(ws, "none"), atol=1e-6)


def test_noise_can_differ_by_sample(generator):
    ws = generator.mapping(torch.randn(2, 6))
    own = torch.randn(2, 1, 8, 8)
    both = generator.synthesis(ws, noise={"b8.conv1": own})
    for i in range(2):
        alone = generator.synthesis(ws[i : i + 1], noise={"b8.conv1": own[i : i + 1]})
        assert torch.allclose(both[i : i + 1], alone, atol=1e-5)


def test_random_noise_follows_its_generator(generator):
    ws = generator.mapping(torch.randn(1, 6))

    def draw(seed):
        return generator.synthesis(ws, "random", rng=torch.Generator().manual_seed(seed))

    assert torch.equal(draw(1), draw(1))
    assert not torch.allclose(draw(1), draw(2), atol=1e-3)


# ---- precision, layout, gradients ---------------------------------------------------------
def test_bfloat16_is_close_and_gives_float32_pictures(generator):
    discriminator = Discriminator(16, {4: 8, 8: 8, 16: 8}).requires_grad_(False)
    z = torch.randn(4, 6)
    exact, rough = generator(z), generator(z, dtype=torch.bfloat16)
    assert rough.dtype == torch.float32
    assert float((exact - rough).abs().max()) < 0.03 * float(exact.abs().max())
    logits = discriminator(exact), discriminator(exact.bfloat16())
    assert logits[1].dtype == torch.float32
    assert torch.allclose(*logits, atol=0.05)


def test_channels_last_changes_nothing(generator):
    z = torch.randn(2, 6)
    before = generator(z)
    image, activations = generator.to(memory_format=torch.channels_last)(z, return_activations=True)
    assert torch.allclose(image, before, atol=1e-5)
    assert all(a.is_contiguous(memory_format=torch.channels_last) for a in activations.values())


def test_latent_and_noise_gradients_are_right(generator):
    generator.double()
    ws = generator.mapping(torch.randn(1, 6).double()).requires_grad_()
    noise = torch.randn(1, 1, 4, 4).double().requires_grad_()

    def energy(ws, noise):
        _, activations = generator.synthesis(ws, noise={"b4.conv1": noise}, return_activations=True,
                                             dtype=torch.float64)
        return activations["b16.conv1"].square().mean()

    assert torch.autograd.gradcheck(energy, (ws, noise), fast_mode=True)


def test_discriminator_can_be_differentiated_twice():
    discriminator = Discriminator(8, {4: 4, 8: 4})
    image = torch.randn(2, 3, 8, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(discriminator(image).sum(), image, create_graph=True)
    gradient.square().sum().backward()
    assert float(discriminator.b8.conv0.weight.grad.abs().sum()) > 0


# ---- refusals -----------------------------------------------------------------------------
@pytest.mark.parametrize("resolution", [4, 12, 0])
def test_refuses_a_resolution_that_is_no_power_of_two(resolution):
    with pytest.raises(ShapeError, match=f"Generator: expected resolution a power of two.*got {resolution}"):
        Generator(resolution, 4, 4, {4: 4, 8: 4}, 1)


def test_refuses_a_table_without_a_resolution():
    with pytest.raises(ShapeError, match=r"Discriminator: expected channels .*Add channels for \[16\]"):
        Discriminator(16, {4: 4, 8: 4})


def test_refuses_wrong_latents(generator):
    with pytest.raises(ShapeError, match=r"mapping: expected z \(N, 6\); got Tensor \(2, 7\)"):
        generator.mapping(torch.randn(2, 7))
    with pytest.raises(ShapeError, match=r"synthesis: expected ws \(N, 6, 8\); got Tensor \(2, 8\)"):
        generator.synthesis(torch.randn(2, 8))


def test_refuses_wrong_noise(generator):
    ws = generator.mapping(torch.randn(2, 6))
    with pytest.raises(ShapeError, match="synthesis: expected noise_mode .*; got 'loud'"):
        generator.synthesis(ws, "loud")
    with pytest.raises(ShapeError, match="synthesis: expected noise for b4.conv1, .*; got 'b2.conv1'"):
        generator.synthesis(ws, noise={"b2.conv1": torch.zeros(1, 1, 2, 2)})
    with pytest.raises(ShapeError, match=r"noise b8.conv0 \(1 or 2, 1, 8, 8\); got Tensor \(3, 1, 8, 8\)"):
        generator.synthesis(ws, noise={"b8.conv0": torch.zeros(3, 1, 8, 8)})


def test_refuses_wrong_pictures():
    discriminator = Discriminator(8, {4: 4, 8: 4})
    for image in (torch.zeros(1, 3, 4, 4), torch.zeros(1, 1, 8, 8), torch.zeros(1, 3, 8, 8, dtype=torch.uint8)):
        with pytest.raises(ShapeError, match=r"Discriminator: expected image \(N, 3, 8, 8\) float"):
            discriminator(image)
    with pytest.raises(ShapeError, match="Discriminator: expected a batch divisible by 4; got 6"):
        discriminator(torch.zeros(6, 3, 8, 8))
