"""Which GAN to train, and what to start from: a plan that cannot be carried out is refused at once, not after hours."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from toolkit.errors import ToolkitError, check_count, describe
from toolkit.gan.files.checkpoints import load_discriminator, load_networks
from toolkit.gan.stylegan2 import Discriminator, Generator
from toolkit.training.checkpoint import load_checkpoint
from toolkit.training.loop import MAX_SEED

GROUP = 4  # pictures whose variety the discriminator judges together
STATE = ("resolution", "seen", "steps", "grown_at", "generator", "discriminator", "ema", "optimizers")  # a checkpoint


class Plan(NamedTuple):
    """What to train. `channels` maps every resolution from 4 on to a number of channels."""

    resolution: int = 64
    start_resolution: int = 32
    grow_after: int = 60_000  # pictures at each resolution below the last
    fade: int = 12_000  # pictures over which a new resolution comes in
    num_pictures: int = 400_000  # the discriminator sees, in all
    batch_size: int = 32
    z_dim: int = 256
    w_dim: int = 256
    num_mapping_layers: int = 4
    channels: tuple[tuple[int, int], ...] = ((4, 256), (8, 256), (16, 128), (32, 64), (64, 32))
    seed: int = 0

    def check(self) -> None:
        """Raise ToolkitError for a plan that cannot be carried out to its end."""
        for name in ("grow_after", "fade", "z_dim", "w_dim", "num_mapping_layers"):
            check_count("train", name, getattr(self, name))
        check_count("train", "num_pictures", self.num_pictures, 0)
        check_count("train", "seed", self.seed, 0, MAX_SEED)
        for name, lowest in (("start_resolution", 8), ("resolution", self.start_resolution)):
            size = getattr(self, name)
            check_count("train", name, size, lowest)
            if size & (size - 1):
                near = 1 << (size.bit_length() - 1)
                raise ToolkitError("train", f"{name} a power of two", size, f"Use {near} or {2 * near}")
        check_count("train", "batch_size", self.batch_size)
        if self.batch_size > GROUP and self.batch_size % GROUP:
            near = self.batch_size // GROUP * GROUP
            want = f"batch_size up to {GROUP}, or a multiple of it: the discriminator compares {GROUP} pictures"
            raise ToolkitError("train", want, self.batch_size, f"Use {near} or {near + GROUP}")
        try:
            channels, size = dict(self.channels), 4
        except (TypeError, ValueError) as error:
            want = "channels as pairs (resolution, number)"
            raise ToolkitError("train", want, describe(self.channels), "Leave it out for the default") from error
        while size <= self.resolution:
            check_count("train", f"channels at {size} pixels", channels.get(size))
            size *= 2


def starting_point(
    plan: Plan, out_dir: str | Path, init_from: str | Path | None = None
) -> tuple[dict[str, Any] | None, tuple[Generator, Discriminator] | None]:
    """What a training goes on from, or begins with.

    Args:
        plan: one that `Plan.check` accepts.
        out_dir: folder of the training.
        init_from: a GAN's file, its discriminator in it or beside it, NAME-discriminator.safetensors; not read where
            there is a checkpoint.
    Returns:
        state: what `checkpoint.pt` holds; None without one.
        networks: those of init_from, on the CPU; None without it, or with a checkpoint.
    Raises:
        ToolkitError: either does not fit the plan.
        CheckpointError: either cannot be read.
    Warns:
        UserWarning: there is no discriminator.
    """
    path = Path(out_dir) / "checkpoint.pt"
    state = load_checkpoint(path, STATE, "train")
    if state is not None:
        fix = "Give it the plan it began with, or another folder"
        grown = state["resolution"] > plan.start_resolution
        if not plan.start_resolution <= state["resolution"] <= plan.resolution or grown != (state["grown_at"] > 0):
            sizes = f"from {plan.start_resolution} to {plan.resolution} pixels"
            has = f"one at {state['resolution']} that {'grew' if state['grown_at'] else 'began there'}, {path}"
            raise ToolkitError("train", f"a training that grows {sizes}", has, fix)
        _compare(plan, state["resolution"], state["generator"], None, path, fix)
        return state, None
    if init_from is None:
        return None, None
    generator, judge = load_networks(init_from, call="train")
    beside = Path(init_from).with_name(f"{Path(init_from).stem}-discriminator.safetensors")
    if judge is None and beside.is_file():
        judge = load_discriminator(beside)
    if judge is None:  # of an autoencoder, or a bundled GAN
        warnings.warn(
            f"train: {init_from} has no discriminator. A new one begins, and may never catch up with a generator that "
            "draws well already. Look at the samples early.",
            stacklevel=2,
        )
        judge = Discriminator(plan.start_resolution, dict(plan.channels))
    fix = "Give the plan the file's sizes, or take another file"
    _compare(plan, plan.start_resolution, generator.state_dict(), judge.state_dict(), init_from, fix)
    return None, (generator, judge)


def _compare(plan, resolution, generator, discriminator, path, fix):
    """Raise ToolkitError unless networks, given by their tensors, are the plan's."""
    channels = dict(plan.channels)
    with torch.device("meta"):  # shapes only
        own = Generator(resolution, plan.z_dim, plan.w_dim, channels, plan.num_mapping_layers).state_dict()
        judge = Discriminator(resolution, channels).state_dict()
    want, has = _sizes(own), _sizes(generator)
    if differ := [name for name in want if want[name] != has[name]]:
        expected, got = (", ".join(f"{name} {sizes[name]}" for name in differ) for sizes in (want, has))
        raise ToolkitError("train", f"a GAN of {expected}, as planned", f"{got} in {path}", fix)
    for ours, theirs in ((own, generator), (judge, discriminator)):
        if theirs is not None and _shapes(ours) != _shapes(theirs):
            odd = sorted(set(_shapes(ours).items()) ^ set(_shapes(theirs).items()))[0][0]
            want = "a GAN of this trainer's kind: colours, no classes, skip generator, residual discriminator"
            raise ToolkitError("train", want, f"another at {odd} in {path}", "Take another file")


def _shapes(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def _sizes(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """A generator's part of the plan, as its tensors tell it."""
    convs = {k.split(".")[1]: len(v) for k, v in state.items() if k.endswith(".conv1.weight")}
    channels = {int(name[1:]): number for name, number in convs.items()}
    mapping = [v for k, v in state.items() if k.startswith("mapping.fc") and k.endswith(".weight")]
    return {
        "resolution": max(channels),
        "z_dim": mapping[0].shape[1],
        "w_dim": mapping[-1].shape[0],
        "num_mapping_layers": len(mapping),
        "channels": channels,
    }
