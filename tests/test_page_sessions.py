"""What the page keeps for each tab, without a browser."""

import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("gradio")
sys.path.insert(0, str(Path(__file__).parent.parent / "demos"))

import gradio as gr  # noqa: E402
from session import CLOSED_SECONDS, Sessions  # noqa: E402
from step_label import Label  # noqa: E402
from wiring import on  # noqa: E402

from toolkit.errors import ToolkitError  # noqa: E402
from toolkit.gan.files import zoo  # noqa: E402


@pytest.fixture
def sessions(tiny_gan_file):
    return Sessions([str(tiny_gan_file)])


def tab(name):
    return SimpleNamespace(session_hash=name)


def answer(sessions, handler, num_inputs=0):
    """What Gradio would call for an event that `handler` answers."""
    anything = [gr.State() for _ in range(3)]
    return on(sessions, lambda function, *_, **__: function, handler, anything[:num_inputs], [])


def test_a_tab_that_was_idle_is_forgotten_and_told_so(sessions):
    idle, busy = sessions.of(tab("idle")), sessions.of(tab("busy"))
    folder = Path(idle.folder.name)
    idle.touched -= 100
    sessions.expire(50)
    assert not folder.exists() and sessions.of(tab("busy")) is busy
    with pytest.raises(gr.Error, match="idle for more than an hour.* Reload the page"):
        answer(sessions, lambda session: {})(tab("idle"))


def test_a_closed_tab_leaves_no_file_and_one_that_comes_back_loses_nothing(sessions, monkeypatch):
    closed, back = sessions.of(tab("closed")), sessions.of(tab("back"))
    sessions.close(tab("closed"))
    sessions.close(tab("back"))
    sessions.expire()
    assert sessions.of(tab("back")) is back
    clock = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: clock() + CLOSED_SECONDS + 1)
    sessions.expire()
    assert not Path(closed.folder.name).exists() and sessions.of(tab("back")) is back


def test_a_job_stops_when_it_is_cancelled(sessions):
    stopped = []

    def job(session):
        try:
            while True:
                yield 1
        finally:
            stopped.append(True)

    updates = answer(sessions, job)(tab("a"))
    next(updates)
    updates.close()
    assert stopped == [True]


def test_where_a_gan_lies_is_not_shown(sessions, tiny_gan_file):
    assert sessions.gans == [tiny_gan_file.stem]
    assert sessions.load(tiny_gan_file.stem).resolution == 16
    with pytest.raises(ToolkitError, match="page: expected one of tiny; got '/etc/passwd'"):
        sessions.load("/etc/passwd")
    with pytest.raises(ToolkitError, match="expected GANs of different names"):
        Sessions([str(tiny_gan_file), str(tiny_gan_file)])


def test_another_gan_starts_anew(tiny_gan_file):
    sessions = Sessions([str(tiny_gan_file), zoo.DEFAULT])
    session = sessions.of(tab("a"))
    session.segmenter = session.suggestion = "of the first"
    session.use_gan(sessions.load(zoo.DEFAULT))
    assert session.segmenter is None and session.suggestion is None
    assert session.sample.image.shape == (1, 3, 64, 64)


@pytest.mark.parametrize("handler", [Label.project, Label.show_example])
def test_a_step_with_nothing_to_do_leaves_everything_as_it_is(sessions, handler):
    """Of a generator that yields nothing Gradio empties all outputs, and an empty dict it takes for a value."""

    def nothing(session, *inputs):
        yield from handler(None, session, *inputs)

    assert list(answer(sessions, nothing, 2)(tab("a"), None, None)) == [gr.skip()]
