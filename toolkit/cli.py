"""`python -m toolkit COMMAND`: every step of the method, and every claim, by command."""

import importlib.util
import json
import sys
import time
from pathlib import Path
from typing import Annotated, Optional

import typer

from toolkit.errors import ToolkitError

app = typer.Typer(help="Object parts segmented from one labelled picture.", no_args_is_help=True,
                  add_completion=False, pretty_exceptions_enable=False)  # fmt: skip

Gan = Annotated[Optional[str], typer.Option(help="A bundled GAN's name or a weights file; default: bundled.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
BENCHMARKS = Path(__file__).parent.parent / "tests" / "benchmarks"


def main():
    """Run the command line; a `ToolkitError` is one line on stderr and exit status 2."""
    try:
        app()
    except ToolkitError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


def _load_gan(name):
    from toolkit import fewshot
    from toolkit.gan import zoo

    return fewshot.load_gan(name or zoo.DEFAULT)


@app.command()
def quickstart(out: Path = Path("out/quickstart.png"), gan: Gan = None, num_test: int = 8):
    """One labelled portrait teaches the GAN's features; unseen portraits get segmented."""
    from toolkit import experiments

    started = time.perf_counter()
    report = experiments.quickstart(_load_gan(gan), out, num_test=num_test)
    print(f"picture: {out}   total: {time.perf_counter() - started:.1f} s")
    return report


@app.command()
def evaluate(
    world: str = "portraits",
    classes: int = 10,
    shots: int = 1,
    network: Optional[str] = None,
    seed: int = 0,
    num_test: int = 200,
    gan: Gan = None,
    as_json: Json = False,
):
    """The paper's face protocol: K annotated portraits against N others, all projected."""
    from toolkit import experiments, fewshot

    report = experiments.evaluate(
        _load_gan(gan), world=world, num_classes=classes, num_shots=shots,
        network=network or fewshot.DEFAULT_NETWORK, seed=seed, num_test=num_test, progress=not as_json,
    )  # fmt: skip
    _print(report, as_json)


@app.command()
def experiment(
    name: Annotated[str, typer.Argument(help="gan-quality")],
    world: str = "portraits",
    num: int = 2000,
    seed: int = 0,
    gan: Gan = None,
    as_json: Json = False,
):
    """Measure a claim: gan-quality compares the GAN's pictures with its world."""
    from toolkit import experiments

    if name != "gan-quality":
        raise ToolkitError("experiment", "gan-quality", repr(name), "Use a name from the list")
    _print(experiments.gan_quality(_load_gan(gan), world=world, num=num, seed=seed, progress=not as_json), as_json)


@app.command()
def benchmark(name: Annotated[str, typer.Argument(help="hypercolumns, ...")], as_json: Json = False):
    """Time ours against the usual way, both in one run."""
    path = BENCHMARKS / f"benchmark_{name.replace('-', '_')}.py"
    if not path.is_file():
        known = sorted(p.stem.removeprefix("benchmark_") for p in BENCHMARKS.glob("benchmark_*.py"))
        raise ToolkitError("benchmark", f"one of {known}", repr(name), "Run it from a clone of the repository")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main(json=as_json)


def _print(report, as_json):
    if as_json:
        print(json.dumps(report))
        return
    for key, value in report.items():
        if isinstance(value, dict):
            print(f"{key}:")
            for name, number in value.items():
                print(f"  {name:12s} {number}")
        else:
            print(f"{key:14s} {value}")
