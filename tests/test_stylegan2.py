"""The networks: equal to the published ones on stored examples, and true to their own definitions."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from toolkit.errors import ShapeError, ToolkitError
from toolkit.gan import generator as module
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
    [
        ("w", {}),
        ("w_psi0.7", {"truncation_psi": 0.7}),
        ("w_psi0.7_cutoff4", {"truncation_psi": 0.7, "truncation_cutoff": 4}),
    ],
)
def test_mapping_agrees_with_published(golden, published_generator, name, truncation):
    assert_agrees(published_generator.mapping(golden["out/z"], **truncation), golden[f"out/{name}"])


@pytest.mark.parametrize(
    "name, latent, noise_mode",
    [
        ("image_const", "w", "const"),
        ("image_none", "w", "none"),
        ("image_psi0.7_const", "w_psi0.7", "const"),
        ("image_wplus_const", "wplus", "const"),
    ],
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
    assert list(activations) == ["b4.conv1", "b8.conv0", "b8.conv1", "b16.conv0", "b16.conv1", "b32.conv0", "b32.conv1"]
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
        _, activations = generator.synthesis(
            ws, noise={"b4.conv1": noise}, return_activations=True, dtype=torch.float64
        )
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


# ---- architectures, each against its definition ---------------------------------------------
ARCHITECTURES = ("skip", "resnet", "orig")
TABLE = {4: 12, 8: 8, 16: 4}


def filtered(x, gain, pad, stride=1):
    """The low-pass filter, spelt out."""
    taps = (torch.outer(TAPS, TAPS) * gain / 64).expand(x.shape[1], 1, 4, 4)
    return F.conv2d(F.pad(x, pad), taps, stride=stride, groups=x.shape[1])


def doubled(x):
    """Zeros between the pixels, then the filter with gain 4."""
    wide = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    wide[:, :, ::2, ::2] = x
    return filtered(wide, 4, (2, 1, 2, 1))


def conv_by_definition(layer, x, w, gain=1.0):
    """SynthesisConv for one sample: a kernel of its own, zeros inserted, noise, bias, leaky ReLU."""
    kernel = layer.weight * layer.affine(w)[0][None, :, None, None]
    kernel = kernel / (kernel.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
    if layer.up:
        side = x.shape[-1]
        wide = x.new_zeros(1, x.shape[1], 2 * side - 1, 2 * side - 1)
        wide[:, :, ::2, ::2] = x
        x = filtered(F.conv2d(wide, kernel.flip(2, 3), padding=2), 4, (1, 1, 1, 1))
    else:
        x = F.conv2d(x, kernel, padding=1)
    x = x + layer.noise_const * layer.noise_strength + layer.bias[None, :, None, None]
    return F.leaky_relu(x, 0.2) * 2**0.5 * gain


def synthesis_by_definition(generator, ws, architecture):
    """One sample's picture."""
    x, image, row = None, None, 0
    for r in generator.synthesis.resolutions:
        block = getattr(generator.synthesis, f"b{r}")
        residual = architecture == "resnet" and r > 4
        if r == 4:
            x = block.const[None]
        else:
            branch = x
            x = conv_by_definition(block.conv0, x, ws[:, row])
            row += 1
        x = conv_by_definition(block.conv1, x, ws[:, row], 0.5**0.5 if residual else 1.0)
        row += 1
        if residual:
            kernel = block.skip.weight / branch.shape[1] ** 0.5
            x = x + doubled(F.conv2d(branch, kernel)) * 0.5**0.5
        image = None if image is None else doubled(image)
        if architecture == "skip" or r == generator.resolution:
            rgb = block.torgb
            style = rgb.affine(ws[:, row])[0] / x.shape[1] ** 0.5
            colours = F.conv2d(x, rgb.weight * style[None, :, None, None], rgb.bias)
            image = colours if image is None else image + colours
    return image


def randomised(network):
    for tensor in (*network.parameters(), *(b for n, b in network.named_buffers() if n != "synthesis.fade")):
        tensor.data.normal_()
    return network.requires_grad_(False)


@pytest.mark.parametrize("img_channels", [1, 3])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_synthesis_is_its_definition(architecture, img_channels):
    torch.manual_seed(0)
    generator = randomised(Generator(16, 6, 8, TABLE, 2, architecture=architecture, img_channels=img_channels))
    ws = torch.randn(2, generator.num_ws, 8)
    expected = torch.cat([synthesis_by_definition(generator, w[None], architecture) for w in ws])
    assert expected.shape == (2, img_channels, 16, 16)
    assert_agrees(generator.synthesis(ws), expected)


def layer_by_definition(layer, x, down=False, gain=1.0):
    """The discriminator's Conv: equalised, blurred and halved if `down`."""
    size = layer.weight.shape[-1]
    weight = layer.weight / (layer.weight.shape[1] * size**2) ** 0.5
    if down:
        pad = 2 if size == 3 else 1
        x = F.conv2d(filtered(x, 1, (pad,) * 4), weight, stride=2)
    else:
        x = F.conv2d(x, weight, padding=size // 2)
    return x * gain if layer.bias is None else F.leaky_relu(x + layer.bias[:, None, None], 0.2) * 2**0.5 * gain


def logits_by_definition(judge, image, architecture):
    x = None
    for block in judge.blocks():
        if x is None or architecture == "skip":
            colours = layer_by_definition(block.fromrgb, image)
            x = colours if x is None else x + colours
        if architecture == "skip":
            image = filtered(image, 1, (1, 1, 1, 1), stride=2)
        gain = 0.5**0.5 if architecture == "resnet" else 1.0
        y = layer_by_definition(block.conv1, layer_by_definition(block.conv0, x), down=True, gain=gain)
        x = y + layer_by_definition(block.skip, x, down=True, gain=gain) if architecture == "resnet" else y
    if architecture == "skip":
        x = x + layer_by_definition(judge.b4.fromrgb, image)
    return judge.b4.out(judge.b4.fc(layer_by_definition(judge.b4.conv, judge.b4.minibatch_stddev(x)).flatten(1)))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_discriminator_is_its_definition(architecture):
    torch.manual_seed(0)
    judge = randomised(Discriminator(16, TABLE, architecture=architecture))
    image = torch.randn(4, 3, 16, 16)
    expected = logits_by_definition(judge, image, architecture)
    assert_agrees(judge(image), expected)
    assert [f.shape[-1] for f in judge.features(image)] == [8, 4]


def test_an_unknown_architecture_is_refused():
    for network in (
        lambda: Generator(8, 4, 4, {4: 4, 8: 4}, 1, architecture="x"),
        lambda: Discriminator(8, {4: 4, 8: 4}, architecture="x"),
    ):
        with pytest.raises(ToolkitError, match="expected architecture one of .*; got 'x'"):
            network()


@pytest.mark.parametrize("options", [{}, {"architecture": "resnet", "conv_clamp": 1.0}])
def test_pictures_drawn_one_by_one_are_those_of_a_batch(options, monkeypatch):
    torch.manual_seed(0)
    generator = randomised(Generator(16, 6, 8, TABLE, 2, **options))
    ws = torch.randn(3, generator.num_ws, 8)
    given = {"b8.conv0": torch.randn(3, 1, 8, 8)}
    calls = [{}, {"noise_mode": "none"}, {"noise": given}, {"noise_mode": "random"}]
    for call in calls:
        rngs = [torch.Generator().manual_seed(1) for _ in range(2)]
        monkeypatch.setattr(module, "ONE_BY_ONE_FROM", 256)
        batch, activations = generator.synthesis(ws, **call, rng=rngs[0], return_activations=True)
        with torch.no_grad():
            monkeypatch.setattr(module, "ONE_BY_ONE_FROM", 8)
            image, kept = generator.synthesis(ws, **call, rng=rngs[1], return_activations=True)
        assert_agrees(image, batch)
        assert list(kept) == list(activations)
        for name in kept:
            assert_agrees(kept[name], activations[name])


# ---- classes ------------------------------------------------------------------------------
@pytest.fixture()
def conditional():
    torch.manual_seed(0)
    return randomised(Generator(8, 6, 8, {4: 8, 8: 8}, 2, c_dim=3))


def test_mapping_appends_the_normalised_label(conditional):
    mapping, z, label = conditional.mapping, torch.randn(2, 6), torch.eye(3)[[2, 0]]
    z_unit = z / z.square().mean(1, keepdim=True).sqrt()
    y = label @ mapping.embed.weight.T / 3**0.5 + mapping.embed.bias
    x = torch.cat([z_unit, y / y.square().mean(1, keepdim=True).sqrt()], 1)
    for layer in (mapping.fc0, mapping.fc1):
        x = F.leaky_relu(x @ layer.weight.T * 0.01 / x.shape[1] ** 0.5 + layer.bias * 0.01, 0.2) * 2**0.5
    assert torch.allclose(mapping(z, label)[:, 0], x, rtol=1e-4, atol=1e-6)


def test_no_label_means_the_chosen_class(conditional):
    z = torch.randn(2, 6)
    assert torch.equal(conditional.mapping(z), conditional.mapping(z, torch.eye(3)[[0, 0]]))
    conditional.mapping.class_index = 2
    assert torch.equal(conditional.mapping(z), conditional.mapping(z, torch.eye(3)[[2, 2]]))
    assert not torch.allclose(conditional.mapping(z), conditional.mapping(z, torch.eye(3)[[0, 0]]))


def test_wrong_labels_are_refused(conditional):
    with pytest.raises(ShapeError, match=r"mapping: expected class_label \(2, 3\); got Tensor \(2, 4\)"):
        conditional.mapping(torch.randn(2, 6), torch.zeros(2, 4))


def test_a_label_moves_the_logits_along_its_own_direction():
    torch.manual_seed(0)
    judge = randomised(Discriminator(8, {4: 8, 8: 8}, c_dim=3, num_mapping_layers=1, cmap_dim=5))
    image, label = torch.randn(4, 3, 8, 8), torch.eye(3)[[0, 1, 2, 0]]
    x = judge.b4(judge.features(image)[-1])
    cmap = judge.mapping(torch.empty(4, 0), label)
    assert x.shape == cmap.shape == (4, 5)
    assert_agrees(judge(image, label), (x * cmap).sum(1, keepdim=True) / 5**0.5)


def test_a_grayscale_discriminator_reads_the_mean_of_colours():
    judge = randomised(Discriminator(8, {4: 4, 8: 4}, img_channels=1))
    image = torch.randn(2, 3, 8, 8)
    assert torch.equal(judge(image), judge(image.mean(1, keepdim=True)))


# ---- statistics of w ----------------------------------------------------------------------
def test_statistics_of_w_are_computed_once_a_class(conditional, monkeypatch):
    mean, std = conditional.w_statistics()
    w = conditional.mapping(torch.randn(20_000, 6))[:, 0]
    assert torch.allclose(mean, w.mean(0), atol=0.1 * float(w.std()))
    assert float(std) == pytest.approx(float((w - w.mean(0)).square().sum(1).mean().sqrt()), rel=0.05)
    conditional.mapping.class_index = 1
    other = conditional.w_statistics()[0]
    assert not torch.allclose(other, mean)
    monkeypatch.setattr(conditional.mapping, "forward", None)  # it is not asked again
    assert conditional.w_statistics()[0] is other
