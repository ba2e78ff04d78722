"""The frame over a picture, as notebooks and the page share it: its JavaScript and its look. Nothing is downloaded."""

import base64
import io
from pathlib import Path
from typing import Any

from PIL import Image

from toolkit.pictures.images import Frame
from toolkit.show import labeller

FOLDER = Path(__file__).parent
SIDE = 720  # pixels of the picture that is sent, at most: it is for the screen


def script(*more: str) -> str:
    """The JavaScript of frames, up to `frameView`; more: names of further files of this folder."""
    files = labeller.FOLDER / "parts.js", *(FOLDER / f"{name}.js" for name in ("framing", *more))
    return "\n".join(file.read_text("utf-8") for file in files)


def style() -> str:
    """The frames' CSS."""
    return labeller.both() + (FOLDER / "framing.css").read_text("utf-8")


def state(picture: Image.Image, frame: Frame) -> dict[str, Any]:
    """What the script shows.

    Args:
        picture: RGB, of the frame's size.
        frame: the square over it.
    Returns:
        dict, "picture": its address, a JPEG; "size": [width, height]; "frame": [x, y, side, angle].
    """
    small, file = picture.copy(), io.BytesIO()
    small.thumbnail((SIDE, SIDE))
    small.save(file, "JPEG", quality=88)
    address = f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
    return {"picture": address, "size": list(picture.size), "frame": numbers(frame)}


def numbers(frame: Frame) -> list[float]:
    """A frame as the script has it: [x, y, side, angle], its centre and side in pixels, degrees clockwise."""
    return [*frame.centre, frame.side, frame.angle]
