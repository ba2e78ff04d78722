"""Errors as people read them: one sentence that says what to do. The technical line is for the log."""

import contextlib
from collections.abc import Iterator

from toolkit.errors import ImageError, ToolkitError

UNKNOWN = "Something went wrong here. Your shots are still there: try again, or reload the page if it goes on."


class Sorry(Exception):
    """What the page cannot do, said to the person who asked for it: what is the matter, and what helps."""


@contextlib.contextmanager
def instead(sentence: str) -> Iterator[None]:
    """Say this where the toolkit refuses; its own line goes along as the cause."""
    try:
        yield
    except ToolkitError as error:
        raise Sorry(sentence) from error


def for_people(error: BaseException) -> str:
    """What the page says of any exception."""
    if isinstance(error, Sorry):
        return str(error)
    if isinstance(error, ImageError):  # what helps is the same for whoever took the picture
        return f"This picture cannot be used. {error.fix}."
    return UNKNOWN


def for_the_log(error: BaseException) -> str:
    """The same as one technical line."""
    if isinstance(error, Sorry) and error.__cause__:
        error = error.__cause__
    return " ".join(f"{type(error).__name__}: {error}".split())
