"""Pictures, generated or not, with a few-shot segmenter's soft labels: what auto-shot learns from.

They come in shards, each determined by the seed and its number alone, whichever process makes it:
a killed synthesis resumes with the missing shards, several processes share the work, and without a
folder a shard is generated again whenever it is read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from accelerate.utils import reduce
from safetensors import safe_open
from torch import Tensor

from toolkit.autoshot.progress import Pace, Progress, last
from toolkit.errors import CheckpointError, ToolkitError, check_count
from toolkit.files import read_metadata, save_tensors
from toolkit.parts import networks, uncertainty
from toolkit.pictures.images import as_float
from toolkit.training.processes import processes

KIND = "auto-shot pairs"
BATCH, BATCH_PIXELS = 32, 1 << 21  # pictures, and pixels, generated at once
BATCHES = 2  # in a shard
VALIDATE_EVERY = 20  # of the kept pictures, the first included


def synthesize(segmenter: Any, num_images: int = 5000, *, progress: bool = False, **options: Any) -> Pairs:
    """Generate pictures and label them.

    Args:
        segmenter, num_images, options: as `synthesizing` takes them.
        progress: show a bar.
    Returns:
        `Pairs`.
    Raises:
        ToolkitError: as `synthesizing`.
    """
    return last(synthesizing(segmenter, num_images, **options), progress)


def synthesizing(
    segmenter: Any,
    num_images: int = 5000,
    *,
    truncation_psi: float = 1.0,
    seed: int = 0,
    out_dir: str | Path | None = None,
    drop: float = 0.0,
    photographs: Tensor | np.ndarray | None = None,
) -> Iterator[Progress]:
    """Generate pictures with the soft labels of a few-shot segmenter, in bounded memory.

    With several processes (see `processes`) each makes its own shards.

    Args:
        segmenter: a `fewshot.Segmenter`.
        num_images: >= 2.
        truncation_psi: 1 for the GAN's full variety, towards 0 for its average picture.
        seed: the same seed gives the same pairs, in a folder or not, in however many processes.
        out_dir: folder for the shards; those it already has are kept. None writes nothing: a shard is
            made again whenever it is read.
        drop: share of the pictures to leave out, from 0 to below 1: those whose labels have the highest
            mean entropy.
        photographs: (N, 3, R, R) uint8, N >= num_images, framed as the GAN's: some of these are labelled, each as
            the encoder sees it, instead of generated pictures. Or (N, 3, S, S), S the GAN's
            `detail_resolution`: then what ImageNet's features see of them is finer, and the U-Net sees as much.
            None generates.
    Yields:
        `Progress` after every shard; the last one's result is `Pairs`.
    Raises:
        ToolkitError: arguments not as above, fewer than two pictures left, a folder of other pairs, or photographs
            for a GAN without an encoder.
    Source: Tritrong et al. 2021, sec. 3.4 (arXiv:2103.04379); dropping as in Zhang et al. 2021,
        DatasetGAN (arXiv:2104.06490).
    """
    check_number(num_images, drop)
    state = processes()
    pairs = Pairs(segmenter, num_images, truncation_psi, seed, out_dir, photographs)
    if state.is_main_process:
        pairs.remove_halves()
    state.wait_for_everyone()
    own = range(state.process_index, pairs.num_shards, state.num_processes)
    found: dict[int, Any] = {i: pairs.read_summary(i) for i in own}
    missing = [i for i, summary in found.items() if summary is None]
    total = sum(pairs.size(i) for i in found)
    done = total - sum(pairs.size(i) for i in missing)
    pace = Pace(done, total)
    for i in missing:
        yield Progress("synthesise", done, total, pace.eta(done))
        found[i] = pairs.make_summary(i)
        done += pairs.size(i)
    seen = torch.zeros(num_images, 1 + len(pairs.classes))
    for i, summary in found.items():
        seen[pairs.rows(i)] = summary
    if state.num_processes > 1:
        seen = reduce(seen.to(state.device), "sum").cpu()
    pairs.judge(seen, drop)
    yield Progress("synthesise", total, total, 0.0, result=pairs)


def check_number(num_images: int, drop: float) -> None:
    """Raise ToolkitError for a num_images or drop that `synthesizing` does not take."""
    check_count("synthesize", "num_images", num_images, 2)
    if not isinstance(drop, (int, float)) or not 0 <= drop < 1 or num_images - int(drop * num_images) < 2:
        want = "0 <= drop < 1 and two pictures left to learn from"
        got = f"drop {drop!r} of {num_images}"
        raise ToolkitError("synthesize", want, got, "Ask for more pictures, or drop fewer")


class Pairs:
    """Pictures and their soft labels, by shard. Make them with `synthesize`.

    classes, palette: of the segmenter; key: a hash of all that determines the pairs; kept: (num_images,)
    bool, False for pictures that were dropped; validation: (num_images,) bool, those of the kept ones to
    validate on, never none and never all; balance: dict, class name -> share of the kept pixels.
    """

    def __init__(
        self,
        segmenter: Any,
        num_images: int,
        truncation_psi: float,
        seed: int,
        out_dir: str | Path | None,
        photographs: Tensor | np.ndarray | None = None,
    ) -> None:
        self.segmenter, self.num_images, self.truncation_psi, self.seed = segmenter, num_images, truncation_psi, seed
        self.out_dir: Any = None if out_dir is None else Path(out_dir)
        self.classes, self.palette = segmenter.classes, segmenter.palette
        self.batch_size = max(1, min(BATCH, BATCH_PIXELS // segmenter.gan.resolution**2))
        self.shard_size = BATCHES * self.batch_size
        self.num_shards = -(-num_images // self.shard_size)
        self.photographs = None if photographs is None else self._some_of(photographs)
        self.resolution = segmenter.gan.resolution if self.photographs is None else self.photographs.shape[-1]
        self.key = self._key()
        self.kept = self.validation = torch.empty(0, dtype=torch.bool)  # these three are set by `judge`
        self.balance: dict[str, float] = {}

    def rows(self, i: int) -> slice:
        """The pictures of shard i, dropped ones included, as a slice of all."""
        return slice(i * self.shard_size, min((i + 1) * self.shard_size, self.num_images))

    def size(self, i: int) -> int:
        """The number of pictures in shard i."""
        return self.rows(i).stop - self.rows(i).start

    def read(self, i: int, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Some of a shard's pictures, from its file or generated again.

        Args:
            i: the shard.
            chosen: (num_images,) bool, over all pictures.
        Returns:
            image (n, 3, R, R) uint8, 0 for -1 and 255 for 1; soft (n, K, R, R) uint8, 255 times the
            probabilities; both on the CPU.
        """
        chosen = chosen[self.rows(i)]
        if self.out_dir is None:
            shard = self._make(i)
        else:
            with safe_open(self.path(i), "pt") as file:
                shard = {name: file.get_tensor(name) for name in ("image", "soft")}
        return shard["image"][chosen], shard["soft"][chosen]

    def path(self, i: int) -> Path:
        """Shard i's file."""
        return self.out_dir / f"shard-{i:05d}.safetensors"

    def read_summary(self, i: int) -> Tensor | None:
        """(n, 1 + K): entropy and class shares of each picture, from shard i's file; None if there is none.

        Raises:
            ToolkitError: the file belongs to other pairs.
        """
        if self.out_dir is None or not self.path(i).is_file():
            return None
        try:
            key = read_metadata(self.path(i), KIND, "synthesize")["key"]
        except CheckpointError:  # damaged: make it again
            return None
        if key != self.key:
            raise ToolkitError(
                "synthesize",
                f"pairs of this segmenter, seed and truncation_psi in {self.out_dir}",
                "other ones",
                "Choose another folder, or what it was made with",
            )
        with safe_open(self.path(i), "pt") as file:
            summary = file.get_tensor("summary")
        return summary if len(summary) == self.size(i) else None  # else the last shard of another num_images

    def make_summary(self, i: int) -> Tensor:
        """Generate shard i, write it if there is a folder, and return what `read_summary` would."""
        shard = self._make(i)
        if self.out_dir is not None:
            save_tensors(self.path(i), shard, {"format": KIND, "key": self.key})
        return shard["summary"]

    def remove_halves(self) -> None:
        """Remove the temporary files of killed processes; they are never read as shards."""
        for half in self.out_dir.glob(".shard-*") if self.out_dir else ():
            half.unlink(missing_ok=True)

    def judge(self, seen: Tensor, drop: float) -> None:
        """Decide which pictures to keep and which of them validate.

        Args:
            seen: (num_images, 1 + K), every picture's summary.
            drop: share of the pictures, the most uncertain ones, to leave out.
        """
        certain_first = seen[:, 0].argsort(stable=True)
        self.kept = torch.zeros(self.num_images, dtype=torch.bool)
        self.kept[certain_first[: self.num_images - int(drop * self.num_images)]] = True
        self.validation = torch.zeros_like(self.kept)
        self.validation[self.kept.nonzero()[::VALIDATE_EVERY]] = True
        self.balance = dict(zip(self.classes, seen[self.kept, 1:].mean(0).tolist(), strict=True))

    def _some_of(self, photographs):
        """num_images of them, chosen by the seed."""
        gan = self.segmenter.gan
        want = f"(N, 3, {gan.resolution}, {gan.resolution}) uint8, N >= {self.num_images}"
        known = "uint8" in str(photographs.dtype) and photographs.ndim == 4
        shapes = [(3, side, side) for side in (gan.resolution, gan.detail_resolution)]
        if not known or len(photographs) < self.num_images or photographs.shape[1:] not in shapes:
            got = f"{tuple(photographs.shape)} {photographs.dtype}"
            raise ToolkitError("synthesize", f"photographs {want}", got, "Ask for fewer pictures, or resize these")
        if gan.encoder is None:
            raise ToolkitError("synthesize", "a GAN with an encoder for photographs", "none", "See train-encoder")
        order = torch.randperm(len(photographs), generator=torch.Generator().manual_seed(self.seed))
        return torch.as_tensor(np.ascontiguousarray(photographs[order[: self.num_images].numpy()]))

    @torch.no_grad()
    def _make(self, i):
        """Shard i: image and soft as `read` gives them, and the summary."""
        parts = {"image": [], "soft": [], "summary": []}
        for image, columns in self._drawn(i) if self.photographs is None else self._seen(i):
            logits = networks.enlarged(networks.label(self.segmenter.network, columns), image.shape[-1])
            soft = logits.softmax(1)
            summary = torch.cat([uncertainty.entropy(logits).mean((1, 2))[:, None], soft.mean((2, 3))], 1)
            for name, value in (("image", image), ("soft", (soft * 255).round_().byte()), ("summary", summary)):
                parts[name].append(value.cpu())
        return {name: torch.cat(values)[: self.size(i)].contiguous() for name, values in parts.items()}

    def _drawn(self, i):
        """Generated pictures of shard i, (n, 3, R, R) uint8, and their hypercolumns, a batch at a time."""
        gan = self.segmenter.gan
        # Each shard has its own seed; all of it is drawn even if fewer pictures are asked for.
        seed = int.from_bytes(hashlib.sha256(f"{self.seed} {i}".encode()).digest()[:7], "little")
        rng, noise_rng = torch.Generator().manual_seed(seed), torch.Generator(gan.device).manual_seed(seed + 1)
        z = torch.randn(self.shard_size, gan.generator.z_dim, generator=rng).to(gan.device)
        for batch in z.split(self.batch_size):
            ws = gan.generator.mapping(batch, truncation_psi=self.truncation_psi)
            # One synthesis gives the pictures and their hypercolumns.
            image, columns = gan.drawn(ws, "random", noise_rng)
            yield ((image.expand(-1, 3, -1, -1) + 1) * 127.5).round_().clamp_(0, 255).byte(), columns

    def _seen(self, i):
        """Photographs of shard i, as `_drawn`; the encoder's guess alone, for steps take a second each."""
        gan = self.segmenter.gan
        for photographs in self.photographs[self.rows(i)].split(self.batch_size):
            detail = as_float(photographs, gan.device)
            image = F.avg_pool2d(detail, self.resolution // gan.resolution)
            sample = gan.project(image, num_steps=0, judge=False)
            if self.resolution > gan.resolution:
                sample.detail = detail
            yield photographs, gan.hypercolumns(sample)

    def _key(self):
        digest = hashlib.sha256()
        for name, value in sorted(self.segmenter.network.state_dict().items()):
            digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
        gan = self.segmenter.gan
        settings = [gan.hash, gan.generator.mapping.class_index, self.truncation_psi, self.seed, self.shard_size]
        digest.update(json.dumps(settings).encode())
        if self.photographs is not None:
            digest.update(str(self.resolution).encode() + self.photographs.numpy().tobytes())
        return digest.hexdigest()
