"""How the page looks: theme, headings, legends, progress, enlarged pictures."""

import html
import math
import time
from collections.abc import Sequence

import gradio as gr
import numpy as np
from PIL import Image
from torch import Tensor

from toolkit.fewshot import GAN
from toolkit.pictures import images, labels
from toolkit.projection.trust import LOW
from toolkit.show import inside

# System fonts: nothing is downloaded.
FONT = ["ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]

THEME = gr.themes.Base(
    primary_hue="indigo", secondary_hue="indigo", neutral_hue="slate", radius_size="lg", font=FONT, font_mono=MONO
).set(
    body_background_fill="#f4f5f9",
    body_background_fill_dark="#0e1118",
    background_fill_primary_dark="#171b26",
    block_background_fill_dark="#171b26",
    border_color_primary_dark="#2a3040",
    button_primary_background_fill="*primary_600",
    button_primary_background_fill_hover="*primary_700",
    button_primary_background_fill_dark="*primary_600",
    button_primary_background_fill_hover_dark="*primary_500",
    body_text_color_subdued="#566176",
    block_label_text_color="#566176",
    block_info_text_color="#566176",
    button_primary_text_color="white",
    block_label_background_fill="*background_fill_primary",
    block_label_background_fill_dark="*background_fill_primary",
    block_shadow="none",
    block_border_width="0px",
    block_border_width_dark="0px",
)

FREE = {None, "MIT", "Apache-2.0", "BSD-3-Clause", "CC0-1.0"}  # licences that allow any use

# They replace Gradio's texts in an English browser.
WORDS = {"upload_text.drop_gallery": "Drop photographs", "upload_text.drop_image": "Drop a photograph"}

HEADER = """
<div class="hero"><div><h1>One-shot parts</h1><p>Draw one label, watch it spread.</p></div>
<nav aria-label="Steps"><a href="#try">Try</a><a href="#label"><b>1</b> Label</a><a href="#teach"><b>2</b> Teach</a>
<a href="#segment"><b>3</b> Segment</a><a href="#autoshot"><b>4</b> Auto-shot</a></nav></div>
"""


def heading(number: int, title: str, text: str) -> gr.HTML:
    """A numbered step's title and what to do there."""
    return gr.HTML(f'<div class="step"><span>{number}</span><div><h2>{title}</h2><p>{text}</p></div></div>')


def hexes(palette: np.ndarray) -> list[str]:
    """Colours as CSS writes them."""
    return ["#{:02x}{:02x}{:02x}".format(*color) for color in palette]


def legend(classes: Sequence[str], palette: np.ndarray) -> str:
    """Names and colours."""
    chips = [
        f'<span class="chip"><i style="background:{color}"></i>{html.escape(name)}</span>'
        for name, color in zip(classes, hexes(palette))
    ]
    return f'<div class="legend">{"".join(chips)}</div>'


def enlarge(picture: Image.Image, size: int = 256) -> Image.Image:
    """A small PIL image enlarged by a whole factor, bicubically, to about `size` pixels."""
    factor = max(1, round(size / max(picture.size)))
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.BICUBIC)


def tinted(image: Tensor, label_map: Tensor, palette: np.ndarray, size: int = 256, alpha: float = 0.55) -> Image.Image:
    """A picture enlarged, with its parts over it in crisp pixels. image (3, R, R); label_map (R, R), or as fine as the
    enlarged picture."""
    picture = enlarge(images.to_pil(image), size)
    factor = picture.width // label_map.shape[-1]
    crisp = label_map.repeat_interleave(factor, 0).repeat_interleave(factor, 1)
    return labels.overlay(picture, crisp, palette, alpha)


def heat(values: Tensor, size: int = 256) -> Image.Image:
    """Values (R, R) in [0, 1] as a heat map, PIL."""
    return enlarge(images.to_pil(inside.heat(values[None])), size)


def bar(what: str, done: int, total: int, left: float = 0.0, note: str = "") -> str:
    """A progress bar with the seconds that are left."""
    remaining = f"about {rounded(left)} left" if 0 < done < total and left >= 1 else ""
    text = " · ".join(filter(None, [f"{what} {done} of {total}", note, remaining]))
    # Screen readers read the bar's value on demand; the text would interrupt them at every step.
    bar = f'<progress max="{total}" value="{done}" aria-label="{html.escape(what)}"></progress>'
    return f'<div class="progress">{bar}<span aria-hidden="true">{text}</span></div>'


def rounded(seconds: float) -> str:
    """A time in words, no finer than an estimate is."""
    if seconds < 20:
        return f"{seconds:.0f} s"
    return f"{5 * round(seconds / 5)} s" if seconds < 90 else f"{round(seconds / 60)} min"


class Countdown:
    """Smooths estimates of the time that is left: each moves what is shown, which runs down by itself, a little."""

    def __init__(self) -> None:
        self.left, self.at = None, 0.0

    def __call__(self, estimate: float) -> float:
        """Seconds to show."""
        now = time.monotonic()
        if self.left is None or not math.isfinite(self.left):
            self.left = estimate
        else:
            self.left = 0.75 * max(0.0, self.left - (now - self.at)) + 0.25 * estimate
        self.at = now
        return self.left


class Progress:
    """A `bar` that estimates the time left from the pace since its first step, which alone had to prepare."""

    def __init__(self, what: str) -> None:
        self.what, self.countdown = what, Countdown()
        self.done, self.at = 0, time.monotonic()

    def __call__(self, done: int, total: int, note: str = "") -> str:
        pace = (time.monotonic() - self.at) / max(done - self.done, 1)
        if not self.done:
            self.done, self.at = done, time.monotonic()
        return bar(self.what, done, total, self.countdown(pace * (total - done)), note)


def trusted(trust: float | None, psnr: float | None) -> str:
    """How far to believe the parts that were found, in plain words; psnr: of the reconstruction, None where nothing was
    projected but the auto-shot network answered."""
    if psnr is None:
        if trust is None:
            return ""
        text = "The parts lie as this network knows them: they can be believed."
        if trust < LOW:
            text = "Do not believe these parts: this network never saw any that lie so. Try to move the frame."
        return note(f"<b>{text}</b> Trust {trust:.2f}.")
    if trust is None:
        return note(f"<b>Trust unknown:</b> this GAN was not calibrated. Reconstruction {psnr:.1f} dB.")
    text = "The GAN knows such pictures: the parts can be believed."
    if trust < LOW:
        text = "Do not believe these parts: the picture is unlike anything this GAN makes. Try auto-shot."
    return note(f"<b>{text}</b> Trust {trust:.2f}; reconstruction {psnr:.1f} dB.")


def note(text: str) -> str:
    """A short remark, as HTML."""
    return f'<p class="note">{text}</p>'


def terms(gan: GAN) -> str:
    """The terms of a GAN's weights, as HTML, where they restrict what may be done with them."""
    licence = gan.metadata.get("licence")
    return "" if licence in FREE else note(f"Weights of {html.escape(gan.metadata['name'])}: {html.escape(licence)}.")
