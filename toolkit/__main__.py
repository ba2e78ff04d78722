"""`python -m toolkit`: the installed commands, and in a clone of the repository its benchmarks too."""

import importlib.util
from pathlib import Path
from typing import Annotated, Any

import typer

from toolkit.cli import app, main
from toolkit.cli.commands import Json
from toolkit.errors import ToolkitError

BENCHMARKS = Path("tests/benchmarks")  # of the current folder: what is installed has none


@app.command()
def benchmark(name: Annotated[str, typer.Argument(help="hypercolumns, ...")], as_json: Json = False) -> None:
    """Time ours against the usual way, both in one run; from a clone of the repository."""
    path = BENCHMARKS / f"benchmark_{name.replace('-', '_')}.py"
    if not path.is_file():
        known = [p.stem.removeprefix("benchmark_").replace("_", "-") for p in sorted(BENCHMARKS.glob("benchmark_*.py"))]
        if not known:
            want = "a clone of the repository as the current folder"
            raise ToolkitError("benchmark", want, f"no {BENCHMARKS} here", "Change into one")
        raise ToolkitError("benchmark", f"one of {', '.join(known)}", repr(name), "Choose one of these")
    spec: Any = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main(json=as_json)


if __name__ == "__main__":
    main()
