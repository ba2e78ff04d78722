"""Processes that share something big; when one dies, only what it was doing is lost."""

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import connection
from typing import Any

import torch

DIED = object()  # what comes back for work whose process died


class Pool:
    """Workers, one thread each, started when they are needed and ended with the `with` block.

    Args:
        workers: processes; 1 works here, with as many threads as there are.
        shared: what every job gets first, sent to each worker once.
    """

    def __init__(self, workers: int, shared: Any) -> None:
        self.workers, self.shared = workers, shared
        self._idle: list[_Worker] = []
        self._all: list[_Worker] = []

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._all:
            worker.process.terminate()

    def run(self, job: Callable[[Any, Any], Any], work: Iterable) -> Iterator[tuple[Any, Any]]:
        """Do work, in no order.

        Args:
            job: a function of a module, called as job(shared, item).
            work: items.
        Yields:
            (item, what the job returned), as they finish; `DIED` where its process died.
        Raises:
            what the job raises.
        """
        if self.workers < 2:
            yield from ((item, job(self.shared, item)) for item in work)
            return
        todo = deque(work)
        busy: dict[Any, Any] = {}  # a process's line -> the process, its item
        while todo or busy:
            while todo and len(busy) < self.workers:
                worker, item = self._worker(), todo.popleft()
                worker.ask(job, item)
                busy[worker.line] = worker, item
            lines: list[Any] = connection.wait(list(busy))
            for line in lines:
                worker, item = busy.pop(line)
                try:
                    error, value = line.recv()
                except (EOFError, OSError):
                    worker.process.join()
                    yield item, DIED
                    continue
                if error is not None:
                    raise error
                self._idle.append(worker)
                yield item, value

    def _worker(self):
        if not self._idle:
            self._all.append(_Worker(self.shared))
            return self._all[-1]
        return self._idle.pop()


class _Worker:
    """A process and the line to it."""

    def __init__(self, shared):
        context = multiprocessing.get_context("spawn")
        self.line, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(other, shared), daemon=True)
        self.process.start()
        other.close()  # so that the line ends when the process does

    def ask(self, job, item):
        try:
            self.line.send((job, item))
        except OSError:
            pass  # it died while it had nothing to do; reading its answer tells


def _serve(line, shared):
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        job, item = line.recv()
        try:
            answer = None, job(shared, item)
        except Exception as error:  # whatever it is, it is raised where the work was asked for
            answer = error, None
        line.send(answer)


def _end_with_parent():
    """Workers do not notice when the process that started them is killed, and would work on for nobody."""
    multiprocessing.parent_process().join()
    os._exit(1)
