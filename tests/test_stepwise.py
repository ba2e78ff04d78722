import pytest

from toolkit.stepwise import finish

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
