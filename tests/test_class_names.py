"""Names of classes: what a person may call a part, and that no door lets anything else in."""

import json

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toolkit import fewshot
from toolkit.autoshot import AutoShotSegmenter
from toolkit.autoshot.unet import UNet
from toolkit.datasets.class_names import read_class_names
from toolkit.errors import LabelError, ToolkitError
from toolkit.parts.result import Result
from toolkit.pictures.labels import check_classes, default_palette
from toolkit.show.widgets import Labeller

SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
REFUSED = {
    "twice": ["background", "eye", "eye"],
    "twice, with a space": ["background", "eye", "eye "],
    "twice, composed in two ways": ["background", "caf\u00e9", "cafe\u0301"],
    "a dictionary": {"eyes": 1, "background": 0},
    "a set": {"background", "eyes"},
    "a string": "eyes",
    "empty": ["background", ""],
    "blank": ["background", " \u200b"],
    "two lines": ["background", "left\neye"],
    "numbers": [0, 1],
    "None": None,
    "nothing": [],
    "half a letter": ["background", "\ud83d"],
}
DOORS = {
    "Shot": lambda names, gan: fewshot.Shot(gan.sample(), half(), names, gan),
    "Segmenter": lambda names, gan: fewshot.Segmenter(gan, torch.nn.Identity(), "mlp", names),
    "AutoShotSegmenter": lambda names, gan: AutoShotSegmenter(UNet(2, 4), names, 16),
    "Result": lambda names, gan: Result(torch.zeros(3, 4, 4), torch.zeros(4, 4).long(), names, default_palette(2)),
    "Labeller": lambda names, gan: Labeller(gan.sample(), names),
}


def half():
    label_map = np.zeros((16, 16), int)
    label_map[:8] = 1
    return label_map


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("what", REFUSED)
def test_every_door_refuses_what_is_no_list_of_names(tiny_gan, door, what):
    with pytest.raises(LabelError, match=f"{door}: expected .*(different names|in the order of their num)") as error:
        DOORS[door](REFUSED[what], tiny_gan)
    assert str(error.value).isprintable()


@pytest.mark.parametrize("door", DOORS)
def test_every_door_takes_names_of_any_language(tiny_gan, door):
    for part in (
        "nez",
        "\u0433\u043b\u0430\u0437",
        "\u773c",
        "\u0627\u0644\u0639\u06cc\u0646",
        "\u200d\U0001f441\ufe0f",
    ):
        assert DOORS[door](["background", part], tiny_gan).classes == ("background", part)


def test_a_file_of_classes_is_checked_too(tmp_path):
    (tmp_path / "classes.txt").write_text("background\ncaf\u00e9\ncafe\u0301\n", "utf-8")
    with pytest.raises(LabelError, match="OwnFolder: expected a name of its own for each class"):
        read_class_names(tmp_path / "classes.txt", "OwnFolder")


@SETTINGS
@given(st.lists(st.text(max_size=8), min_size=1, max_size=5))
def test_names_of_random_unicode_are_refused_or_each_counts_its_own_pixels(tmp_path, names):
    try:
        classes = check_classes(names, "test")
    except LabelError as error:
        assert str(error).isprintable()
        return
    label_map = torch.arange(16).reshape(4, 4) % len(names)
    areas = Result(torch.zeros(3, 4, 4), label_map, names, default_palette(len(names))).areas()
    assert list(areas) == list(classes) == names and sum(areas.values()) == 16
    assert list(areas.values()) == np.bincount(label_map.ravel(), minlength=len(names)).tolist()
    AutoShotSegmenter(UNet(len(names), 4), names, 16).save(tmp_path / "x.safetensors")
    assert AutoShotSegmenter.load(tmp_path / "x.safetensors").classes == classes
    assert json.loads(json.dumps(names)) == names


@SETTINGS
@given(st.one_of(st.text(), st.binary(), st.integers(), st.dictionaries(st.text(), st.integers()), st.none()))
def test_anything_but_a_list_is_refused(value):
    with pytest.raises(ToolkitError):
        check_classes(value, "test")
