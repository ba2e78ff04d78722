"""The sketch widget where it is used: a real JupyterLab in a real browser, drawn on with the mouse."""

import numpy as np
import pytest

from tests import jupyterlab, labelling

HEIGHT, WIDTH = 48, 64
SETUP = f"""
import numpy as np
from toolkit.show.widgets import Labeller
pictures = np.random.default_rng(0).integers(0, 256, (2, {HEIGHT}, {WIDTH}, 3), np.uint8)
labeller = Labeller(list(pictures), ["background", "eyes", "mouth", "nose"])
labeller.brush_size = 5
labeller
"""
PREDICTION = f"""
prediction = np.arange(2 * {HEIGHT} * {WIDTH}).reshape(2, {HEIGHT}, {WIDTH}) % 3
labeller.label_maps = prediction
"""

pytestmark = pytest.mark.skipif(jupyterlab.CHROMIUM is None, reason="no Chromium here: apt-get install chromium")


@pytest.fixture(scope="module")
def server():
    with jupyterlab.Server() as running:
        yield running


@pytest.fixture(scope="module")
def browser():
    with jupyterlab.browser() as running:
        yield running


@pytest.fixture(scope="module", params=[1, 2], ids=["dpr-1", "dpr-2"])
def notebook(request, browser, server):
    opened = jupyterlab.Notebook(browser, server, [SETUP, PREDICTION], (WIDTH, HEIGHT), request.param)
    yield opened
    opened.close()


def brushed(points, size):
    return labelling.brushed(points, size, (HEIGHT, WIDTH))


def test_drawing_gives_exactly_the_pixels_drawn(notebook):
    labelling.draws_exactly(notebook, np.full((2, HEIGHT, WIDTH), 255, np.uint8))


def test_a_stroke_is_one_message(notebook):
    notebook.press("b")
    notebook.labels()
    before = notebook.comm_messages()
    notebook.drag(*[(5 + i, 10 + i % 4) for i in range(50)])
    notebook.labels()
    assert notebook.comm_messages() == before + 1
    notebook.press("z")
    notebook.labels()
    assert notebook.comm_messages() == before + 2


def test_python_sets_labels_and_a_hand_corrects_them(notebook):
    notebook.run_cell(1)
    prediction = (np.arange(2 * HEIGHT * WIDTH).reshape(2, HEIGHT, WIDTH) % 3).astype(np.uint8)
    notebook.page.wait_for_function(
        "() => document.querySelector('.toolkit-labeller .done').textContent === '100% labelled'"
    )
    assert notebook.holds(prediction)
    notebook.page.locator(".toolkit-labeller .side button", has_text="nose").click()
    notebook.page.locator(".toolkit-labeller").get_by_label("Next picture").click()
    notebook.wait_for_picture(1)
    notebook.drag((30, 30), (35, 30))
    prediction[1][brushed([(30, 30), (35, 30)], notebook.ask("labeller.brush_size"))] = 3
    assert notebook.holds(prediction)


def test_zooming_moves_the_picture_and_not_the_labels(notebook):
    before = notebook.labels()
    notebook.press("+")
    notebook.press("+")
    notebook.page.keyboard.down("Space")
    notebook.drag((10, 10), (40, 30))
    notebook.page.keyboard.up("Space")
    notebook.press("Home")
    assert notebook.holds(before)
    notebook.click((7, 40))
    before = before.copy()
    before[1][brushed([(7, 40)], notebook.ask("labeller.brush_size"))] = 3
    assert notebook.holds(before)


def test_a_finger_draws_and_two_zoom(notebook):
    expected = notebook.labels().copy()
    notebook.page.locator(".toolkit-labeller .side button", has_text="mouth").click()
    notebook.touch([(20, 20)], [(24, 22)], [(30, 22)])
    expected[1][brushed([(20, 20), (24, 22), (30, 22)], notebook.ask("labeller.brush_size"))] = 2
    assert notebook.holds(expected)
    zoom = notebook.page.locator(".toolkit-labeller .zoom output")
    before = zoom.inner_text()
    notebook.touch([(30, 25)], [(30, 25), (34, 25)], [(20, 25), (44, 25)])
    assert zoom.inner_text() != before
    notebook.press("Home")
    assert zoom.inner_text() == before and notebook.holds(expected)  # what the first finger had drawn is taken back


def test_a_pen_draws_and_its_other_end_erases(notebook):
    expected = notebook.labels().copy()
    event = """(stage, [type, x, y, button]) => stage.dispatchEvent(new PointerEvent(type, {
        bubbles: true, pointerType: "pen", pointerId: 7, clientX: x, clientY: y, button, buttons: button ? 32 : 1}))"""
    stage = notebook.page.locator(".toolkit-labeller .stage")
    for button, value in ((0, 2), (5, 255)):
        x, y = notebook.place((40, 12 + button))
        for kind in ("pointerdown", "pointerup"):
            stage.evaluate(event, [kind, x, y, button])
        expected[1][brushed([(40, 12 + button)], notebook.ask("labeller.brush_size"))] = value
    assert notebook.holds(expected)


def test_keys_stay_in_the_widget(notebook):
    cells = notebook.page.locator(".jp-CodeCell").count()
    for key in ("x", "d", "d", "a", "Escape"):  # JupyterLab: cut, delete, a cell above
        notebook.press(key)
    assert notebook.page.locator(".jp-CodeCell").count() == cells


def test_the_widget_shows_again_after_a_reload(notebook):
    before = notebook.labels()
    notebook.page.keyboard.press("Control+S")
    notebook.page.wait_for_timeout(1000)
    notebook.page.reload()
    notebook.wait_for_picture(1)  # the picture that was shown
    assert notebook.holds(before)
    notebook.press("b")
    notebook.click((50, 40))
    after = before.copy()
    after[1][brushed([(50, 40)], notebook.ask("labeller.brush_size"))] = 2  # the class chosen before
    assert notebook.holds(after)


def test_no_request_leaves_the_machine(notebook):
    assert notebook.hosts - {None} == {"127.0.0.1"}  # None: what the page made itself, blob: and data:
