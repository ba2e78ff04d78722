"""The labeller that notebooks and the page share: its JavaScript and its look. Nothing is downloaded."""

from pathlib import Path

FOLDER = Path(__file__).parent
# Joined to one script, each file after those it needs.
SCRIPTS = ("shapes", "sketch", "parts", "stage", "pointers", "panel", "keys", "view")


def script(*more: str) -> str:
    """The labeller's JavaScript, up to `view`; more: names of further files of this folder."""
    return "\n".join((FOLDER / f"{name}.js").read_text("utf-8") for name in (*SCRIPTS, *more))


def style() -> str:
    """The labeller's CSS."""
    return both() + (FOLDER / "labeller.css").read_text("utf-8")


def both() -> str:
    """The CSS that the labeller and frames have in common."""
    return (FOLDER / "both.css").read_text("utf-8")
