"""Train a U-Net on generated pictures and soft labels; it can be stopped and resumed."""

import copy
import hashlib
import json
import math
import time
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate.utils import reduce
from torch import Tensor
from torch.nn import BatchNorm2d

from toolkit.autoshot.augmentation import augment
from toolkit.autoshot.layout import Layout, learn_layout
from toolkit.autoshot.progress import Pace, Progress, last
from toolkit.autoshot.segmenter import AutoShotSegmenter
from toolkit.autoshot.synthesis import Pairs
from toolkit.autoshot.unet import STARTS, UNET_DEPTH, ImageNetUNet, UNet, untrained
from toolkit.errors import CheckpointError, ToolkitError, check_count
from toolkit.metrics import ConfusionMatrix
from toolkit.pictures.images import as_float
from toolkit.training.checkpoint import load_checkpoint, save_checkpoint, write_log
from toolkit.training.loop import MAX_SEED, Learner, Means
from toolkit.training.precision import check_precision, dtype_of
from toolkit.training.processes import processes, share_mean

LEARNING_RATE = WEIGHT_DECAY = 1e-3  # the paper's
SETTLED = 16  # batches whose statistics batch norm takes after an epoch
BUFFERED_SHARDS = 4  # shuffled together, so that a batch mixes pictures of several shards
# ImageNet's features are trained on for a few epochs only: parts of a pixel or two would cost more than they give.
VIEWS: dict[str, dict[str, Any]] = {"scratch": {}, "imagenet": {"scale": (0.6, 1.6), "shift": 0.3}}
JUDGED_BY = 1000  # pictures at most, whose layouts are usual
LOG_KEEP = 0.95  # decay of the running mean of the loss
STATE = ("key", "epoch", "epochs_since_best", "log", "net", "best", "optimizer")  # keys of a checkpoint


class UNetPlan(NamedTuple):
    """How to train a U-Net.

    start: "scratch" for a `UNet`, as the paper's; "imagenet" for an `ImageNetUNet`, at this width three times as large,
        whose logits are of every second pixel from pictures of 128 pixels on.
    width: of the network, at full resolution; the paper's is 64.
    num_epochs: times every picture is seen, >= 1.
    batch_size: pictures per step and process, >= 1; for pictures up to 16 pixels, >= 2.
    patience: epochs without a lower validation loss after which to stop early, >= 1.
    color_jitter: also change the pictures' colours a little.
    mixed_precision: "bf16", "no", or "auto": the faster of the two on this device, tried at the start.
    seed: of weights, order and augmentation; the same seed gives the same network, in the same precision.
    init_from: file of an auto-shot network to go on from, of the same classes, start and width, at any resolution.
    """

    start: str = "scratch"
    width: int = 16
    num_epochs: int = 10
    batch_size: int = 32
    patience: int = 5
    color_jitter: bool = False
    mixed_precision: str = "auto"
    seed: int = 0
    init_from: str | PathLike | None = None

    def check(self, resolution: int, classes: Sequence[str]) -> None:
        """Refuse a plan that cannot be carried out.

        Args:
            resolution: of the pictures.
            classes: that they show.
        Raises:
            ToolkitError: a field out of its range. CheckpointError: an `init_from` that cannot be read, of other
                classes, or of another kind.
        """
        if self.start not in STARTS:
            raise ToolkitError("train", f"start {' or '.join(STARTS)}", repr(self.start), "Choose one of these")
        for name in ("width", "num_epochs", "patience"):
            check_count("train", name, getattr(self, name))
        # Batch norm at the U-Net's bottleneck needs two values per channel.
        check_count("train", "batch_size", self.batch_size, 1 if resolution > 2**UNET_DEPTH else 2)
        check_count("train", "seed", self.seed, 0, MAX_SEED)
        check_precision("train", self.mixed_precision)
        if self.init_from is not None:
            _known(self.init_from, self, classes)


def train(pairs: Pairs, *, progress: bool = False, **options: Any) -> AutoShotSegmenter:
    """Train a U-Net on pairs.

    Args:
        pairs, options: as `training` takes them.
        progress: show a bar.
    Returns:
        `AutoShotSegmenter`.
    Raises:
        ToolkitError: as `training`.
    """
    return last(training(pairs, **options), progress)


def training(pairs: Pairs, *, out_dir: str | Path | None = None, **options: Any) -> Iterator[Progress]:
    """Train a U-Net on pairs, step by step, or resume the last run in `out_dir`.

    After every epoch it writes `last.pt` (to resume from), `best.safetensors` (the `AutoShotSegmenter` of
    the lowest validation loss) and `log.csv`, each replaced atomically. With several processes (see
    `processes`) each trains the same network on its own shards.

    Args:
        pairs: `Pairs`.
        out_dir: folder of this training; None writes nothing.
        options: the fields of `UNetPlan`.
    Yields:
        `Progress` after every step; the last one's result is the `AutoShotSegmenter`.
    Raises:
        ToolkitError: options not as in `UNetPlan`, a folder of another training, or more processes than
            shards.
        CheckpointError: a `last.pt` that cannot be read, or an `init_from` as `UNetPlan.check` refuses it.
    Source: Tritrong et al. 2021, sec. 3.4 (arXiv:2103.04379): U-Net, Adam, 1e-3 and weight decay 1e-3;
        differs: soft labels, and a cosine learning-rate schedule.
    """
    plan = UNetPlan(**options)
    plan.check(pairs.resolution, pairs.classes)
    job = _Job(pairs, plan, out_dir)
    pace = Pace(job.epoch * job.num_steps, plan.num_epochs * job.num_steps)
    while job.epoch < plan.num_epochs and job.epochs_since_best < plan.patience:
        for step, loss in job.learn():
            done = job.epoch * job.num_steps + step
            yield Progress("train", done, pace.total, pace.eta(done), loss)
        job.finish_epoch()
    yield Progress("train", pace.total, pace.total, 0.0, job.log[-1]["loss"], job.judged(job.result()))


def _known(file: str | PathLike, plan: UNetPlan, classes: Sequence[str]) -> UNet | ImageNetUNet:
    """The network of an auto-shot file; CheckpointError where it has other classes or is of another kind."""
    known = AutoShotSegmenter.load(file, "cpu")
    network: Any = known.network
    found = (network.start, network.width, known.classes)
    if found != (wanted := (plan.start, plan.width, tuple(classes))):
        want, got = (f"start {start}, width {width}, classes {', '.join(c)}" for start, width, c in (wanted, found))
        raise CheckpointError("train", f"an init_from of {want}", f"{got} in {file}", "Start without it")
    return network.requires_grad_(True)


def soft_cross_entropy(logits: Tensor, soft: Tensor, known: Tensor) -> Tensor:
    """Cross-entropy with soft labels, averaged over the known pixels.

    Args:
        logits: (N, K, H, W).
        soft: (N, K, H, W), probabilities.
        known: (N, H, W) bool.
    Returns:
        (): 0 when nothing is known.
    """
    loss = -(soft * logits.log_softmax(1)).sum(1)
    return (loss * known).sum() / known.sum().clamp(min=1)


class _Job:
    """One training run: its network, the state to resume it, and its files."""

    def __init__(self, pairs, plan, out_dir):
        self.pairs, self.plan = pairs, plan
        self.out_dir = None if out_dir is None else Path(out_dir)
        self.state = processes()
        self.device = self.state.device
        self.learned = pairs.kept & ~pairs.validation
        # Every process takes as many steps as the one with the fewest pictures can.
        counts = [
            sum(int(self.learned[pairs.rows(i)].sum()) for i in self._shards(rank))
            for rank in range(self.state.num_processes)
        ]
        self.num_steps = math.ceil(min(counts) / plan.batch_size)
        if not self.num_steps:
            raise ToolkitError(
                "train",
                f"pictures for each of {self.state.num_processes} processes",
                f"{counts} pictures",
                "Ask for more pictures, or start fewer processes",
            )
        if plan.init_from is not None:
            net = _known(plan.init_from, plan, pairs.classes)
        else:
            with torch.random.fork_rng():
                torch.manual_seed(plan.seed)
                net = untrained(plan.start, len(pairs.classes), plan.width, pairs.resolution)
        self.net = net.to(self.device, memory_format=torch.channels_last)
        self.learner = Learner(self.net, LEARNING_RATE, self.net.rates(), weight_decay=WEIGHT_DECAY)
        self.epoch = self.epochs_since_best = 0
        self.best, self.log = None, []
        # What must be the same to resume; as JSON, which a checkpoint stores.
        options = {name: getattr(plan, name) for name in ("width", "num_epochs", "batch_size", "color_jitter", "seed")}
        if plan.start != "scratch":  # as all trainings did before there was a choice, which still resume
            options["start"] = plan.start
        if isinstance(net, ImageNetUNet) and net.stem is None:
            options["whole"] = False
        if plan.init_from is not None:
            options["init_from"] = hashlib.sha256(Path(plan.init_from).read_bytes()).hexdigest()[:12]
        self.key = json.dumps([pairs.key, pairs.num_images, int(pairs.kept.sum()), options])
        state = None if self.out_dir is None else load_checkpoint(self.out_dir / "last.pt", STATE, "train")
        if state:
            self._restore(state)
        self.dtype = dtype_of(plan.mixed_precision, self._trial, self.device)

    def learn(self):
        """One epoch: yields (steps taken, running mean of the loss) after every step."""
        self.net.train()
        self.started, self.means = time.monotonic(), Means(LOG_KEEP)
        for step, (image, soft) in zip(range(self.num_steps), self._batches(), strict=False):
            # Seeded by the step: a resumed training draws the same as an uninterrupted one.
            rng = self._rng(1, step)
            image, soft, known = augment(image, soft, rng, self.plan.color_jitter, **VIEWS[self.plan.start])
            share = (self.epoch + step / self.num_steps) / self.plan.num_epochs
            self.learner.cool_down(0.5 * (1 + math.cos(math.pi * share)))
            with self._autocast(self.dtype):
                logits = self.net(image)
            loss = soft_cross_entropy(logits.float(), soft, known)
            self.learner.learn(loss)
            self.means.add(loss=loss.item())
            yield step + 1, self.means["loss"]

    def _autocast(self, dtype):
        return torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32)

    def _trial(self, dtype):
        net = copy.deepcopy(self.net)  # the trial would change batch norm's running statistics
        side = self.pairs.resolution
        with self._autocast(dtype):
            logits = net(torch.zeros(self.plan.batch_size, 3, side, side, device=self.device))
        logits.float().square().mean().backward()

    def finish_epoch(self):
        """Validate, keep the best network, and write everything that is needed to resume."""
        self._settle()
        share_mean([b for b in self.net.buffers() if b.is_floating_point()])  # batch norm's running statistics
        val_loss, val_iou = self._validate()
        self.epoch += 1
        self.epochs_since_best += 1
        if not self.log or val_loss < min(row["val_loss"] for row in self.log):
            self.best, self.epochs_since_best = copy.deepcopy(self.net.state_dict()), 0
        seconds = round(time.monotonic() - self.started, 1)
        self.log.append(
            {
                "epoch": self.epoch,
                "loss": round(self.means["loss"], 5),
                "val_loss": round(val_loss, 5),
                "val_iou": round(100 * val_iou, 2),
                "seconds": seconds,
            }
        )
        if self.out_dir is not None and self.state.is_main_process:
            self._save()
        self.state.wait_for_everyone()

    @torch.no_grad()
    def _settle(self):
        """Take batch norm's statistics anew, of pictures as they are and of these weights: the running ones are of
        moved views, and of weights that have changed since. Wu and Johnson 2021 (arXiv:2105.07576)."""
        self.net.train()
        norms = [module for module in self.net.modules() if isinstance(module, BatchNorm2d) and module.training]
        before = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the mean over all batches
        for _, (image, _) in zip(range(min(SETTLED, self.num_steps)), self._batches(), strict=False):
            with self._autocast(self.dtype):
                self.net(image)
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum

    def result(self):
        """The best network so far, ready to use."""
        net = STARTS[self.plan.start].fitting(self.best, len(self.pairs.classes))
        net.load_state_dict(self.best)
        return AutoShotSegmenter(net, self.pairs.classes, self.pairs.resolution, self.pairs.palette)

    def judged(self, found):
        """It with the layouts of pictures it should know, and its GAN's framer, terms and fit."""
        some = []
        for i in range(self.pairs.num_shards):
            if sum(map(len, some)) < JUDGED_BY:
                some.append(self._to_float(*self.pairs.read(i, self.pairs.kept))[0])
        layout = learn_layout(found.network.to(self.device), torch.cat(some)[:JUDGED_BY], self.plan.seed)
        found.network.to("cpu")
        found.layout = Layout(*(value.cpu() for value in layout))
        gan = self.pairs.segmenter.gan
        found.framer, found.licence = getattr(gan, "framer", None), gan.metadata.get("licence")
        found.fit = getattr(gan, "fit", "crop")
        return found

    def _shards(self, rank):
        return range(rank, self.pairs.num_shards, self.state.num_processes)

    def _rng(self, purpose, step=0):
        """A generator of its own for each purpose (0 order, 1 views), epoch, step and process."""
        seed = 0
        for number in (self.plan.seed, purpose, self.epoch, step, self.state.process_index):
            seed = (seed * 1_000_003 + number) % (1 << 63)
        return torch.Generator().manual_seed(seed)

    def _batches(self):
        """This process's pictures in a new order, as full batches on the device, in bounded memory."""
        rng, size, shards = self._rng(0), self.plan.batch_size, list(self._shards(self.state.process_index))
        shards = [shards[i] for i in torch.randperm(len(shards), generator=rng)]
        image = soft = None
        for first in range(0, len(shards), BUFFERED_SHARDS):
            parts = [] if image is None else [(image, soft)]  # what the last buffer left over
            parts += [self.pairs.read(i, self.learned) for i in shards[first : first + BUFFERED_SHARDS]]
            order = torch.randperm(sum(len(part) for part, _ in parts), generator=rng)
            image, soft = (torch.cat(part)[order] for part in zip(*parts, strict=True))
            del parts
            while len(image) >= size:
                yield self._to_float(image[:size], soft[:size])
                image, soft = image[size:], soft[size:]
            image, soft = image.clone(), soft.clone()  # a view would keep the whole buffer
        if len(image):  # fill the last batch with repetitions: batch norm needs more than one picture
            fill = torch.arange(size) % len(image)
            yield self._to_float(image[fill], soft[fill])

    def _to_float(self, image, soft):
        image, soft = as_float(image, self.device), soft.to(self.device).float()
        return image, soft / soft.sum(1, keepdim=True)  # rounded to bytes, it sums only almost to 1

    @torch.inference_mode()
    def _validate(self):
        """Soft cross-entropy and weighted IoU against the few-shot segmenter's labels, on validation pictures."""
        self.net.eval()
        matrix, total = ConfusionMatrix(len(self.pairs.classes)), torch.zeros(2, dtype=torch.float64)
        for i in self._shards(self.state.process_index):
            if not self.pairs.validation[self.pairs.rows(i)].any():
                continue
            image, soft = self._to_float(*self.pairs.read(i, self.pairs.validation))
            logits = self.net(image)
            everywhere = torch.ones_like(soft[:, 0], dtype=torch.bool)
            total += torch.tensor([len(image) * soft_cross_entropy(logits, soft, everywhere).item(), len(image)])
            matrix.update(logits.argmax(1), soft.argmax(1))
        if self.state.num_processes > 1:
            total, matrix.counts = (reduce(t.to(self.device), "sum").cpu() for t in (total, matrix.counts))
        return float(total[0] / total[1]), matrix.weighted_iou()

    def _save(self):
        self.result().save(self.out_dir / "best.safetensors")
        write_log(self.out_dir / "log.csv", self.log[-1])
        state = {
            "key": self.key,
            "epoch": self.epoch,
            "epochs_since_best": self.epochs_since_best,
            "log": self.log,
            "net": self.net.state_dict(),
            "best": self.best,
            "optimizer": self.learner.adam.state_dict(),
        }
        save_checkpoint(self.out_dir / "last.pt", state)

    def _restore(self, state):
        if state["key"] != self.key:
            raise ToolkitError(
                "train",
                f"a training with these pairs and options in {self.out_dir}",
                "another one",
                "Choose another folder, or what it was started with",
            )
        self.epoch, self.epochs_since_best = state["epoch"], state["epochs_since_best"]
        self.log, self.best = state["log"], state["best"]
        self.net.load_state_dict(state["net"])
        self.learner.adam.load_state_dict(state["optimizer"])
