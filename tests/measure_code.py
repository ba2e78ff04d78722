"""How the code measures up, at any revision: `python tests/measure_code.py [REVISION ...]`, one column each.

Lines are those of Python files in toolkit/ and demos/, blank ones and docstrings among them. A function's lines go from
its `def` to its end. Public are the functions and methods that others can name: nothing nested, no leading underscore.
One is annotated when all its arguments but self and cls are, and what it returns.
"""

import ast
import io
import statistics
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = ("toolkit", "demos")
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def sources(revision: str) -> dict[str, str]:
    """Every Python file of a git revision: path -> text.

    Raises:
        subprocess.CalledProcessError: git knows no such revision.
    """
    command = ["git", "archive", "--format=tar", revision, *FOLDERS]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        files = [member for member in archive if member.isfile() and member.name.endswith(".py")]
        return {file.name: archive.extractfile(file).read().decode("utf-8") for file in files}


def measure(texts: dict[str, str]) -> dict[str, str]:
    """What is printed of some files: path -> text; at least one of them with a function.

    Returns:
        dict, name -> what was counted, as text.
    """
    trees = {path: ast.parse(text) for path, text in texts.items()}
    lines = [len(text.splitlines()) for text in texts.values()]
    functions = [
        (node.end_lineno - node.lineno + 1, f"{path}: {node.name}")
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, FUNCTIONS)
    ]
    public = [is_annotated(function) for tree in trees.values() for function in public_functions(tree)]
    longest, where = max(functions)
    return {
        "modules": str(len(texts)),
        "lines": str(sum(lines)),
        "lines of a module, median": f"{statistics.median(lines):g}",
        "functions": str(len(functions)),
        "lines of a function, mean": f"{statistics.mean(length for length, _ in functions):.1f}",
        "lines of the longest": f"{longest} ({where})",
        "public functions": str(len(public)),
        "annotated": f"{sum(public) / max(1, len(public)):.0%}",
    }


def public_functions(node: ast.Module | ast.ClassDef) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """The functions of a module, and the methods of its classes, that have no leading underscore."""
    for child in node.body:
        if isinstance(child, (*FUNCTIONS, ast.ClassDef)) and not child.name.startswith("_"):
            yield from public_functions(child) if isinstance(child, ast.ClassDef) else [child]


def is_annotated(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether all arguments, but for self and cls, and the result have a type."""
    a = function.args
    arguments = [x for x in (*a.posonlyargs, *a.args, *a.kwonlyargs, a.vararg, a.kwarg) if x is not None]
    return function.returns is not None and all(x.annotation or x.arg in ("self", "cls") for x in arguments)


def main(revisions: list[str]) -> None:
    """Print a row for each count and a column for each revision."""
    columns = [("", *measure({"": "def f(): pass"}))]  # the names of the counts
    columns += [(revision, *measure(sources(revision)).values()) for revision in revisions]
    widths = [max(map(len, column)) for column in columns]
    for row in zip(*columns, strict=True):
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


if __name__ == "__main__":
    main(sys.argv[1:] or ["HEAD"])
