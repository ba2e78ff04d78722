"""Names in pictures: no two letters look the same, and what no font has is written as its number and told once."""

import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from toolkit.errors import LabelError
from toolkit.pictures.labels import check_classes
from toolkit.show import fonts, plots

SETTINGS = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def drawn(name):
    figure = plots.comparison({"x": [Image.new("RGB", (64, 64))]}, classes=["a", name])
    return figure.size, figure.tobytes()


@pytest.fixture(autouse=True)
def forgotten():
    """What was found and told before is forgotten."""
    for remembered in (fonts._tell, fonts._font_with, fonts._paths):
        remembered.cache_clear()
    yield
    for remembered in (fonts._tell, fonts._font_with, fonts._paths):
        remembered.cache_clear()


@pytest.fixture()
def only_dejavu(monkeypatch):
    """A machine without Chinese fonts."""
    own = tuple(path for path in fonts._paths() if path.endswith("DejaVuSans.ttf"))
    monkeypatch.setattr(fonts, "_paths", lambda: own)


@pytest.mark.parametrize(
    "pair", ["\xfc\xf6", "\xe9\xe7", "\u0416\u0414", "\u773c\u5634", "\u03a9\u03bb", "\u05d0\u05d1"]
)
@pytest.mark.filterwarnings("ignore:no font here has")
def test_different_letters_look_different(pair):
    assert drawn(pair[0]) != drawn(pair[1]) and drawn(pair[0]) == drawn(pair[0])


@pytest.mark.parametrize("letters", ["\xfc\xf6\xe9\xdf\xf1", "\u0416\u0434\u0451", "\u03a9\u03bb", "\u05d0", "\u1ec7"])
def test_europe_s_letters_need_no_font_of_the_system(only_dejavu, letters):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [text for _, text in fonts._runs(letters)] == [letters]


def test_a_letter_that_no_font_has_is_its_number_and_is_told_once(only_dejavu):
    with pytest.warns(
        UserWarning, match="no font here has the letters '\u773c\u775b': .* Install one, e.g. Noto Sans CJK"
    ):
        assert "".join(text for _, text in fonts._runs("a\u773c\u775b\u773c")) == "aU+773CU+775BU+773C"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fonts._runs("\u773c\u775b")


def test_a_font_of_the_system_is_used_for_what_the_first_lacks(monkeypatch):
    """DejaVu Sans, as if it were installed for Chinese: the letters it lacks come from the second font."""
    first, second = fonts._paths()[0], "/fonts/Chinese.ttf"
    has = fonts._letters
    monkeypatch.setattr(fonts, "_paths", lambda: (first, second))
    monkeypatch.setattr(fonts, "_letters", lambda path: frozenset({0x773C}) if path == second else has(path))
    assert fonts._runs("eye \u773c b") == [(first, "eye "), (second, "\u773c "), (first, "b")]


@SETTINGS
@given(st.text(min_size=1, max_size=6))
def test_any_name_is_drawn_within_its_width(text):
    try:
        (name,) = check_classes([text], "test")
    except LabelError:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        picture = Image.new("L", (int(fonts.width(name, 14)) + 40, 60))
        from PIL import ImageDraw

        fonts.write(ImageDraw.Draw(picture), 10, 30, name, 255, 14)
    assert not np.asarray(picture)[:, -1].any()
