"""TensorFlow-era .pkl files: the layouts come back; other networks of that time are told apart."""

import foreign_files
import numpy as np
import pytest
import torch
from test_nvidia import pair

from toolkit.errors import CheckpointError
from toolkit.gan.files.checkpoints import load_networks


def assert_close(ours, original):
    state, expected = ours.state_dict(), original.state_dict()
    assert state.keys() == expected.keys()
    # mod_bias is stored less one, which costs a bit.
    assert all(torch.allclose(state[k], expected[k], atol=1e-6) for k in expected)


@pytest.mark.parametrize("architecture, judge", [("skip", "resnet"), ("resnet", "orig"), ("orig", "skip")])
def test_every_architecture_comes_back(tmp_path, architecture, judge):
    generator, discriminator = pair(architecture, judge, hidden_dim=7)
    foreign_files.write_tensorflow(tmp_path / "gan.pkl", generator, discriminator)
    ours, our_judge = load_networks(tmp_path / "gan.pkl")
    assert_close(ours, generator)
    assert_close(our_judge, discriminator)


def test_options_come_from_the_file(tmp_path):
    generator, discriminator = pair(lr=0.5)
    kwargs = {"mapping_lrmul": 0.5, "mbstd_group_size": 2, "nonlinearity": "lrelu", "resample_kernel": [1, 3, 3, 1]}
    foreign_files.write_tensorflow(tmp_path / "gan.pkl", generator, discriminator, kwargs=kwargs)
    ours, judge = load_networks(tmp_path / "gan.pkl")
    assert ours.mapping.lr == 0.5 and judge.b4.group_size == 2


@pytest.mark.parametrize(
    "options, message",
    [
        ({"version": 3}, r"pickled by StyleGAN2's code \(version 4\); got an older one"),
        ({"kwargs": {"resample_kernel": [1, 2, 1]}}, r"resample_kernel \[1, 3, 3, 1\]; got another"),
        ({"kwargs": {"nonlinearity": "relu"}}, "nonlinearity lrelu"),
        ({"kwargs": {"conv_clamp": 256}}, "conv_clamp None; got another"),
        ({"kwargs": {"mbstd_group_size": "4"}}, "a number as mbstd_group_size; got a str"),
        ({"extra": [("8x8/AdaIN/weight", np.zeros(3, np.float32))]}, "got '8x8/AdaIN/weight' too"),
        ({"extra": [("noise99", np.zeros((1, 1, 4, 4), np.float32))]}, "unknown .*noise_const"),
    ],
)
def test_other_networks_are_refused_in_one_line(tmp_path, options, message):
    foreign_files.write_tensorflow(tmp_path / "gan.pkl", *pair(), **options)
    with pytest.raises(CheckpointError, match=f"load_networks: .*{message}") as error:
        load_networks(tmp_path / "gan.pkl")
    assert "\n" not in str(error.value)
