import os

import pytest

from toolkit.errors import ToolkitError
from toolkit.experiments.pool import DIED, Pool


def job(shared, item):
    if item == 2:
        os._exit(1)
    if item == 5:
        raise ToolkitError("job", "less than 5", item, "Ask for less")
    return shared * item


def test_a_process_that_dies_costs_what_it_was_doing():
    with Pool(2, 10) as pool:
        assert dict(pool.run(job, [1, 2, 3, 4])) == {1: 10, 2: DIED, 3: 30, 4: 40}
        with pytest.raises(ToolkitError, match="^job: expected less than 5; got 5. Ask for less.$"):
            list(pool.run(job, [5]))
    for worker in pool._all:
        worker.process.join(30)
        assert not worker.process.is_alive()


def test_one_worker_works_here():
    with Pool(1, [os.getpid()]) as pool:
        assert list(pool.run(lambda shared, item: (os.getpid() in shared, item), "ab")) == [
            ("a", (True, "a")),
            ("b", (True, "b")),
        ]
