"""Error messages for users: one sentence that says what to do. The technical line is for the log."""

import contextlib
from collections.abc import Iterator

from toolkit.errors import ImageError, ToolkitError

UNKNOWN = "Something went wrong here. Your shots are still there: try again, or reload the page if it goes on."


# Fixes of the toolkit's errors about pictures that people can follow who do not program.
FIXES = {"Make it smaller first", "Save it as JPEG", "Save it anew"}
SAVE_ANEW = "Open it in an image program and save it as PNG or JPEG."


class Sorry(Exception):
    """An error for the user: what is wrong, and what helps."""


@contextlib.contextmanager
def instead(sentence: str) -> Iterator[None]:
    """Raise a ToolkitError as a `Sorry` with this sentence, the original as its cause."""
    try:
        yield
    except ToolkitError as error:
        raise Sorry(sentence) from error


def for_people(error: BaseException) -> str:
    """What the page says of any exception."""
    if isinstance(error, Sorry):
        return str(error)
    if isinstance(error, ImageError):
        return f"This picture cannot be used. {remedy(error)}"
    return UNKNOWN


def remedy(error: ImageError) -> str:
    """What helps with a picture, as users can do it: a fix that is not for programmers, else what always helps."""
    return f"{error.fix}." if error.fix in FIXES else SAVE_ANEW


def for_the_log(error: BaseException) -> str:
    """The same as one technical line."""
    if isinstance(error, Sorry) and error.__cause__:
        error = error.__cause__
    return " ".join(f"{type(error).__name__}: {error}".split())
