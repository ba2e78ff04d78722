"""The command line, `python -m toolkit COMMAND`: every step of the method, and every claim, by command."""

import sys
from collections.abc import Callable

import typer

from toolkit.cli.commands import Commands
from toolkit.cli.experiments import evaluate, experiment, quickstart
from toolkit.cli.pictures import autoshot, export, project, segment
from toolkit.cli.training import bundle, bundle_encoder, train_encoder, train_gan
from toolkit.cli.weights import convert, gan_info
from toolkit.errors import ToolkitError

app = typer.Typer(
    cls=Commands,
    help="Object parts segmented from one labelled picture.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(quickstart)
app.command()(evaluate)
app.add_typer(experiment)
PICTURES: tuple[Callable[..., None], ...] = (project, segment, autoshot, export)
WEIGHTS: tuple[Callable[..., None], ...] = (convert, gan_info)
TRAINING: tuple[Callable[..., None], ...] = (train_gan, train_encoder, bundle, bundle_encoder)
for command in (*PICTURES, *WEIGHTS, *TRAINING):
    app.command()(command)


def main() -> None:
    """Run the command line; a `ToolkitError` is one line on stderr and exit status 2."""
    try:
        app()
    except ToolkitError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
