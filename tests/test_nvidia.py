"""NVIDIA's .pkl files: every architecture comes back, and whatever ours would compute otherwise is refused."""

import foreign_files
import pytest
import torch

from toolkit.errors import CheckpointError
from toolkit.gan.files.checkpoints import load_discriminator, load_generator, load_networks
from toolkit.gan.stylegan2 import Discriminator, Generator

CHANNELS = {4: 8, 8: 12, 16: 6}  # no two alike
ARCHITECTURES = ("skip", "resnet", "orig")


def randomised(network):
    with torch.no_grad():
        for tensor in (*network.parameters(), *(b for n, b in network.named_buffers() if n != "synthesis.fade")):
            tensor.normal_()
    return network.eval().requires_grad_(False)


def pair(architecture="skip", judge="resnet", c_dim=0, img_channels=3, clamp=None, group=4, **mapping):
    torch.manual_seed(0)
    generator = Generator(16, 6, 10, CHANNELS, 3, clamp, architecture, img_channels, c_dim=c_dim, **mapping)
    discriminator = Discriminator(
        16, CHANNELS, group, 1 + (c_dim > 0), clamp, judge, img_channels, c_dim=c_dim, num_mapping_layers=2
    )
    return randomised(generator), randomised(discriminator)


def assert_same(ours, original):
    state, expected = ours.state_dict(), original.state_dict()
    assert state.keys() == expected.keys() and all(torch.equal(state[k], expected[k]) for k in expected)


@pytest.mark.parametrize("judge", ARCHITECTURES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(
    "options",
    [
        {"protocol": 3},
        {"protocol": 4, "frozen": True, "c_dim": 3, "img_channels": 1, "clamp": 0.7, "group": None},
    ],
    ids=["plain", "conditional, grayscale, clamped, frozen"],
)
def test_every_architecture_comes_back(tmp_path, architecture, judge, options):
    options = dict(options)
    written = {key: options.pop(key) for key in ("protocol", "frozen") if key in options}
    generator, discriminator = pair(architecture, judge, **options)
    foreign_files.write_nvidia(tmp_path / "gan.pkl", generator, discriminator, **written)
    ours, our_judge = load_networks(tmp_path / "gan.pkl")
    assert_same(ours, generator)
    assert_same(our_judge, discriminator)
    z = torch.randn(4, 6)
    image = generator(z)
    assert image.shape[1] == options.get("img_channels", 3)
    assert torch.allclose(ours(z), image, atol=1e-5 * float(image.abs().max()))
    logits = discriminator(image)
    assert torch.allclose(our_judge(image), logits, atol=1e-5 * float(logits.abs().max()))


def test_a_layer_without_noise_is_one_with_none_of_it(tmp_path):
    generator, _ = pair()
    foreign_files.write_nvidia(tmp_path / "gan.pkl", generator, use_noise=False)
    ours = load_generator(tmp_path / "gan.pkl")
    ws = generator.mapping(torch.randn(2, 6))
    assert torch.allclose(ours.synthesis(ws), generator.synthesis(ws, "none"), atol=1e-4)


def test_weights_may_lie_channels_last(tmp_path):
    generator, _ = pair()
    foreign_files.write_nvidia(tmp_path / "gan.pkl", generator.to(memory_format=torch.channels_last))
    assert_same(load_generator(tmp_path / "gan.pkl"), generator)


def test_the_mapping_s_learning_rate_and_widths_are_the_file_s(tmp_path):
    generator, _ = pair(lr=0.5, hidden_dim=7)
    foreign_files.write_nvidia(tmp_path / "gan.pkl", generator)
    ours, z = load_generator(tmp_path / "gan.pkl"), torch.randn(2, 6)
    assert ours.mapping.lr == 0.5 and torch.allclose(ours.mapping(z), generator.mapping(z), atol=1e-5)


def test_no_code_in_a_file_is_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    foreign_files.write_nvidia(tmp_path / "gan.pkl", *pair())
    assert b"touch MARKER" in (tmp_path / "gan.pkl").read_bytes()
    load_networks(tmp_path / "gan.pkl")
    assert [p.name for p in tmp_path.iterdir()] == ["gan.pkl"]


def setting(path, **values):
    """A change of one module's attributes."""
    return lambda where, state: state.update(values) if where == path else None


def renamed(where, state):
    if where == "synthesis":
        state["_modules"]["L0_36_512"] = state["_modules"].pop("b4")


@pytest.mark.parametrize(
    "change, message",
    [
        (setting("synthesis.b8.conv0", activation="relu"), "the usual activation in synthesis.b8.conv0"),
        (
            setting("synthesis.b8.conv0", conv_clamp=(1, 2)),
            "a number as clamp of G_ema.synthesis.b8.conv0; got a tuple",
        ),
        (
            setting("synthesis.b8.conv0", conv_clamp=3.0),
            "one clamp and one mapping learning rate in G_ema; got 2 and 1",
        ),
        (setting("synthesis.b8.conv0.affine", bias_gain=2), "learning rate in synthesis.b8.conv0.affine"),
        (setting("mapping.fc1", bias_gain=0.5), "learning rate in mapping.fc1; got weight_gain"),
        (setting("synthesis.b8.torgb", weight_gain=1.0), "learning rate in synthesis.b8.torgb"),
        (setting("synthesis.b8.conv1", act_gain=1.0), "act_gain 1.414 in synthesis.b8.conv1; got 1 "),
        (
            lambda where, state: (
                state["_buffers"].update(resample_filter=torch.ones(4, 4) / 16) if where == "synthesis.b8" else None
            ),
            r"the filter \[1, 3, 3, 1\]; got another in G_ema.synthesis.b8",
        ),
        (lambda where, state: state["_parameters"].pop("const", None), r"missing \['synthesis.b4.const'\]"),
        (
            lambda where, state: state["_parameters"].update(more=torch.zeros(1)) if where == "mapping" else None,
            r"unknown \['mapping.more'\]",
        ),
        (
            lambda where, state: (
                state["_parameters"].update(const=torch.zeros(8, 4, 5)) if where == "synthesis.b4" else None
            ),
            r"synthesis.b4.const \(8, 4, 4\); got \(8, 4, 5\)",
        ),
        (renamed, "expected a StyleGAN2 file; got a StyleGAN3 one"),
    ],
)
def test_what_ours_would_compute_otherwise_is_refused_by_name(tmp_path, change, message):
    foreign_files.write_nvidia(tmp_path / "gan.pkl", pair()[0], change=change)
    with pytest.raises(CheckpointError, match=f"load_generator: .*{message}") as error:
        load_generator(tmp_path / "gan.pkl")
    assert "\n" not in str(error.value)


def test_a_file_without_a_discriminator_has_none(tmp_path):
    generator, _ = pair()
    foreign_files.write_nvidia(tmp_path / "gan.pkl", generator)
    assert load_networks(tmp_path / "gan.pkl")[1] is None
    with pytest.raises(CheckpointError, match="load_discriminator: expected a file with a discriminator"):
        load_discriminator(tmp_path / "gan.pkl")
