import pytest

from toolkit.stepwise import duration, finish

STEPS = [(2, 10, "loss", "early"), (5, 10, "loss", "half"), (6, 6, "loss", "all")]  # it stopped before the plan's end


def test_the_last_result_is_returned_and_the_whole_job_run():
    seen = []
    steps = (seen.append(step) or step for step in STEPS)
    assert finish(steps, "fit") == "all" and seen == STEPS
    assert finish([(1, 1, "only")], "fit") == "only"


@pytest.mark.parametrize("progress", [True, False])
def test_the_bar_ends_at_the_last_steps_own_total(capsys, progress):
    finish(STEPS, "project", progress)
    shown = capsys.readouterr().err
    assert ("project: 100%" in shown and "6/6" in shown) == progress and bool(shown) == progress


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "1 s"),
        (7.4, "7 s"),
        (60, "1 min"),
        (130, "2 min 10 s"),
        (3600, "1 h"),
        (11_125, "3 h 5 min"),
        (86_400, "1 day"),
        (2 * 86_400 + 4 * 3600 + 59, "2 days 4 h"),
    ],
)
def test_a_duration_has_the_two_largest_units(seconds, words):
    assert duration(seconds) == words
