"""One user's session: kept on the server, separate from all others, until the tab closes."""

import contextlib
import ctypes
import functools
import gc
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import gradio as gr
import numpy as np
from drawing import Drawing, blank
from examples import usual_classes
from words import Sorry, instead

from toolkit import fewshot
from toolkit.autoshot import AutoShotSegmenter
from toolkit.errors import ToolkitError
from toolkit.fewshot import GAN, Result, Sample, Segmenter, Shot
from toolkit.pictures import labels
from toolkit.pictures.images import Frame

FIRST_SEED, FIRST_TRUNCATION = 66, 0.7  # of the picture a new tab shows, which every bundled GAN draws well
IDLE_SECONDS = 3600
CLOSED_SECONDS = 90  # a connection that broke, on a busy or sleeping machine, may come back
SWEEP_SECONDS = 10


@dataclass
class Picture:
    """An upload of step 3, and what was found in it so far."""

    path: str
    through: Result | None = None  # projection
    auto: Result | None = None  # the auto-shot network

    @property
    def name(self) -> str:
        """Of the file that was uploaded."""
        return Path(self.path).name

    @property
    def results(self) -> list[Result]:
        """Those that there are, through projection first."""
        return [result for result in (self.through, self.auto) if result is not None]

    def chosen(self, session: "Session") -> Result:
        """The one that table and downloads hold, where there are both: that of the session's side."""
        return self.auto if self.auto is not None and session.auto_side else self.results[0]


@dataclass
class Session:
    """What one open tab has made so far."""

    gan: GAN
    gan_name: str  # as the list of GANs has it
    classes: tuple[str, ...] = ()  # the usual ones of the GAN, if not given
    sample: Sample = field(init=False)  # on the canvas
    seed: tuple[int, float] | None = None  # and truncation, of a generated picture on the canvas
    drawing: Drawing = field(init=False)  # on it
    editing: int | None = None  # which shot is on the canvas; None: a new one
    shots: list[Shot] = field(default_factory=list)
    segmenter: Segmenter | None = None
    gallery_seed: int = 100
    suggest_seed: int = 1000
    suggestion: Sample | None = None
    pictures: list[Picture] = field(default_factory=list)  # of step 3
    auto_side: bool = False  # whether table and downloads hold what auto-shot found, where there is both
    frames: dict[str, Frame] = field(default_factory=dict)  # where networks look, by an upload's path
    uploads: dict[str, list[str]] = field(
        default_factory=dict
    )  # that a reload brought back: paths by place on the page
    projected: dict[str, tuple[Frame, Sample]] = field(default_factory=dict)  # what a frame holds, by path
    taught_on: list[Sample] = field(default_factory=list)  # of the shots that the segmenter has learned from
    autoshot: AutoShotSegmenter | None = None
    bundled: bool = False  # whether the network that comes with the GAN answers though there is an own one
    touched: float = field(default_factory=time.monotonic)
    folder: tempfile.TemporaryDirectory = field(default_factory=tempfile.TemporaryDirectory)

    def __post_init__(self) -> None:
        self.classes = self.classes or usual_classes(self.gan)
        self.drawing = Drawing(blank(self.gan.resolution))
        self.show_generated(FIRST_SEED, FIRST_TRUNCATION)

    def use_gan(self, gan: GAN, name: str) -> None:
        """Reset the session for another GAN: classes, shots and segmenters of the old one do not apply to it."""
        self.gan, self.gan_name, self.classes = gan, name, usual_classes(gan)
        self.segmenter = self.autoshot = self.suggestion = None
        self.bundled = False
        self.shots, self.pictures, self.taught_on = [], [], []
        self.frames, self.uploads, self.projected = {}, {}, {}
        self.show_generated(FIRST_SEED, FIRST_TRUNCATION)

    @property
    def palette(self) -> np.ndarray:
        """Colours of the classes, (K, 3) uint8."""
        return labels.palette_of(self.classes)

    def path(self, name: str) -> str:
        """Where a download of this name is written."""
        return str(Path(self.folder.name) / name)

    def show(self, sample: Sample, editing: int | None = None, seed: tuple[int, float] | None = None) -> None:
        """Put a picture on the canvas: a new one, or that of the shot `editing`; seed and truncation if generated."""
        self.sample, self.editing, self.seed = sample, editing, seed

    def show_generated(self, seed: int, truncation: float) -> None:
        """Put a generated picture on the canvas."""
        self.show(self.gan.sample(seed, truncation_psi=truncation), seed=(seed, truncation))

    def touch(self) -> None:
        """Reset the idle time."""
        self.touched = time.monotonic()

    def keep(self) -> bool:
        """Add the drawing as a shot, or replace the one being edited. False when nothing is painted."""
        label_map = self.drawing.meant
        if label_map is None:
            return False
        with instead("Only one class is painted. Paint another one too, or tick “Fill the rest as background”."):
            shot = Shot(self.sample, label_map, self.classes, self.gan)
        if self.editing is None:
            self.shots.append(shot)
            self.editing = len(self.shots) - 1
        else:
            self.shots[self.editing] = shot
        return True

    def sample_of(self, path: str) -> Sample | None:
        """What the frame over an upload holds, projected; None where it was not yet."""
        frame, sample = self.projected.get(path, (None, None))
        return sample if frame is not None and frame == self.frames.get(path) else None

    def start(self, network: str) -> Segmenter | None:
        """The segmenter to go on from in teaching; None to start anew, as when the network or the classes are others,
        or a shot was deleted, which it would not forget."""
        now = [id(shot.sample) for shot in self.shots]
        same = self.segmenter is not None and (self.segmenter.network_name, self.segmenter.classes) == (
            network,
            self.classes,
        )
        return self.segmenter if same and all(id(sample) in now for sample in self.taught_on) else None

    def use_classes(self, classes: Sequence[str], names: Sequence[str] | None = None) -> None:
        """Change the classes; shots keep the labels of those that stay. names: the old ones, renamed."""
        old = tuple(names or self.classes)
        kept = []
        for shot in self.shots:
            number = len(kept) + 1
            with instead(f"Shot {number} has labels of no other class. Delete that shot first."):
                kept.append(Shot(shot.sample, labels.keep(shot.label_map, old, classes), classes, self.gan))
        self.classes, self.shots = tuple(classes), kept


class Sessions:
    """The open sessions by Gradio's session hash, and the GANs they share."""

    def __init__(self, gans: Sequence[str], device: str | None = None, num_steps: int | None = None) -> None:
        self._device, self._num_steps = device, num_steps  # of projection; None: the best there is, as many as usual
        # Users see a file's name alone, not its path.
        self._sources = {Path(gan).stem if Path(gan).is_file() else gan: gan for gan in gans}
        if len(self._sources) < len(gans):
            raise ToolkitError("page", "GANs of different names", ", ".join(map(str, gans)), "Rename a file")
        self.gans = list(self._sources)
        self._open, self._expired, self._lock = {}, deque(maxlen=1000), threading.Lock()
        self.load(self.gans[0])
        threading.Thread(target=self._sweep, daemon=True).start()

    @functools.cache  # noqa: B019 one object for the life of the process
    def load(self, name: str) -> GAN:
        """A GAN of the list, loaded once, ready to be taught. Names outside the list are refused."""
        if name not in self._sources:
            raise ToolkitError("page", f"one of {', '.join(self.gans)}", repr(name), "Choose one of these")
        gan = fewshot.load_gan(self._sources[name], self._device)
        gan.projection_steps = self._num_steps
        print(f"{gan!r}: a picture takes {gan.step_cost().words(gan.projection_steps)}", file=sys.stderr)
        gan.statistics  # noqa: B018 computed now, not while a user waits
        return gan

    def of(self, request: gr.Request) -> Session:
        """The session of a request; a new one for a new tab. A tab that was idle too long has to be reloaded: its
        session is gone."""
        with self._lock:
            if request.session_hash in self._expired:
                raise Sorry("This tab was idle for more than an hour. Reload the page: your shots come back.")
            session = self._open.get(request.session_hash)
            if session is None:
                session = self._open[request.session_hash] = Session(self.load(self.gans[0]), self.gans[0])
            session.touch()
            return session

    def close(self, request: gr.Request) -> None:
        """Forget a session soon, unless it is used again: its tab was closed, or has lost its connection."""
        with self._lock:
            session = self._open.get(request.session_hash)
            if session is not None:
                session.touched = time.monotonic() - IDLE_SECONDS + CLOSED_SECONDS

    def expire(self, idle_seconds: float = IDLE_SECONDS) -> None:
        """Forget the sessions that nobody has used for so long."""
        with self._lock:
            old = [key for key, s in self._open.items() if time.monotonic() - s.touched > idle_seconds]
            self._expired.extend(old)
            gone = [self._open.pop(key) for key in old]
        if gone:
            _free(gone)

    def _sweep(self):
        while True:
            time.sleep(SWEEP_SECONDS)
            self.expire()


def _free(sessions):
    """Delete the sessions' files, and return their memory to the system, which the C library does not do by itself."""
    while sessions:
        sessions.pop().folder.cleanup()
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)
