"""A process pool with a large shared argument; when a process dies, only its current item is lost."""

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import connection
from typing import Any

import torch

DIED = object()  # the result of an item whose process died


class Pool:
    """Workers, one thread each, started on demand and ended with the `with` block.

    Args:
        workers: processes; 1 works in this process, with all its threads.
        shared: first argument of every job, sent to each worker once.
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
        """Run a job on every item, in no particular order.

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
        busy: dict[Any, Any] = {}  # a worker's pipe -> the worker, its item
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
    """A process and the pipe to it."""

    def __init__(self, shared):
        context = multiprocessing.get_context("spawn")
        self.line, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(other, shared), daemon=True)
        self.process.start()
        other.close()  # so that the pipe closes when the process ends

    def ask(self, job, item):
        try:
            self.line.send((job, item))
        except OSError:
            pass  # it died while idle; `run` finds out when it receives


def _serve(line, shared):
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        job, item = line.recv()
        try:
            answer = None, job(shared, item)
        except Exception as error:  # raised again by `Pool.run`
            answer = error, None
        line.send(answer)


def _end_with_parent():
    """Exit when the parent process is killed, which workers would not notice otherwise."""
    multiprocessing.parent_process().join()
    os._exit(1)
