"""The command line, `python -m toolkit COMMAND`: every step of the method, and every claim, by command."""

import sys
from collections.abc import Callable
from typing import Annotated

from toolkit.threads import share_cores

share_cores()  # before anything imports torch

import typer  # noqa: E402

from toolkit.cli.commands import Commands, show_version  # noqa: E402
from toolkit.cli.experiments import evaluate, experiment, quickstart  # noqa: E402
from toolkit.cli.pictures import autoshot, export, fit, project, segment  # noqa: E402
from toolkit.cli.training import (  # noqa: E402
    bundle,
    bundle_encoder,
    bundle_framer,
    train_autoencoder,
    train_encoder,
    train_framer,
    train_gan,
)
from toolkit.cli.weights import calibrate, calibrate_autoshot, convert, gan_info  # noqa: E402
from toolkit.errors import ToolkitError  # noqa: E402

app = typer.Typer(
    cls=Commands,
    help="Object parts segmented from one labelled picture.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def toolkit(
    version: Annotated[bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Object parts segmented from one labelled picture."""


app.command()(quickstart)
app.command()(evaluate)
app.add_typer(experiment)
PICTURES: tuple[Callable[..., None], ...] = (fit, project, segment, autoshot, export)
WEIGHTS: tuple[Callable[..., None], ...] = (convert, gan_info, calibrate, calibrate_autoshot)
TRAINING: tuple[Callable[..., None], ...] = (
    train_gan,
    train_autoencoder,
    train_encoder,
    train_framer,
    bundle,
    bundle_encoder,
    bundle_framer,
)
for command in (*PICTURES, *WEIGHTS, *TRAINING):
    app.command()(command)


def main() -> None:
    """Run the command line; a `ToolkitError` is one line on stderr and exit status 2."""
    try:
        app()
    except ToolkitError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
