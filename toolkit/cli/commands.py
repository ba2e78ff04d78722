"""What the commands share: how they are looked up, options that several take, and how a report is printed."""

import importlib.metadata
import json
import os
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from toolkit.errors import ToolkitError

Gan = Annotated[str | None, typer.Option(help="A bundled GAN's name or a weights file; default: bundled.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps; default: the best there is.")]
NumSteps = Annotated[int | None, typer.Option(help="Optimiser steps of projection; default: as many as usual.")]
Precision = Annotated[str, typer.Option(help="bf16, no, or auto: the faster of the two on this machine.")]
Fit = Annotated[
    str | None,
    typer.Option(
        help="How pictures become square: crop, or pad: whole, edges repeated; default: as the GAN's own, else crop."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]


class Commands(TyperGroup):
    """Commands of which an unknown one is refused in a line that names them all."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As click's.

        Raises:
            ToolkitError: no such command.
        """
        if args and args[0] not in self.commands:
            call = "toolkit" if ctx.parent is None else ctx.info_name
            raise ToolkitError(call, f"one of {', '.join(self.commands)}", repr(args[0]), "Choose one of these")
        return super().resolve_command(ctx, args)


def load_gan(name: str | None, device: str | None = None) -> Any:
    """The `GAN` that an option --gan names, on the device that --device names."""
    from toolkit import fewshot
    from toolkit.devices import check_device
    from toolkit.gan.files import zoo

    there = check_device(device, "--device")  # before a file is fetched or read
    if device is not None:
        os.environ["ACCELERATE_TORCH_DEVICE"] = str(there)  # what is trained after it, is trained there
    return fewshot.load_gan(name or zoo.DEFAULT, there)


def fit_of(call: str, fit: str | None, pictures: Any, gan: Any = None) -> str:
    """How pictures become square: as --fit says, else as those that a GAN learned from, else cropped.

    Args:
        call: the command.
        fit: what --fit says, or None.
        pictures: the folder of them, None where --fit has nothing to fit.
        gan: has `fit`; or None.
    Raises:
        ToolkitError: another word, or --fit without pictures of any shape.
    """
    from toolkit.pictures.images import check_fit

    if fit is not None and pictures is None:
        raise ToolkitError(call, "--fit with a folder of pictures of any shape", "no folder", "Leave --fit out")
    return check_fit(fit or getattr(gan, "fit", "crop"), call)


def show_version(wanted: bool) -> None:
    """Print the toolkit's version and that of torch, and end, if that is wanted."""
    if wanted:
        import torch

        try:
            own = importlib.metadata.version("one-shot-parts")
        except importlib.metadata.PackageNotFoundError:
            own = "from a clone that is not installed"
        print(f"one-shot-parts {own}, torch {torch.__version__}")
        raise typer.Exit()


def show(report: dict, as_json: bool) -> None:
    """Print one JSON object, or the same as text: tables of rows, then of names and numbers."""
    from toolkit.show import plots

    if as_json:
        print(json.dumps(report))
        return
    for key, value in report.items():
        if value in ([], {}):
            print(f"{key}: none")
        elif isinstance(value, list):
            print(f"{key}\n{plots.table([tuple(value[0]), *(tuple(row.values()) for row in value)])}")
        elif isinstance(value, dict):
            header = ("", *next(iter(value.values()))) if isinstance(next(iter(value.values())), dict) else (key, "")
            rows = [(name, *v.values()) if isinstance(v, dict) else (name, v) for name, v in value.items()]
            print(f"{key}\n{plots.table([header, *rows])}")
        else:
            print(f"{key}: {value}")
