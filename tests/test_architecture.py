"""The house rules that a machine can check."""

import ast
import graphlib
import re
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

from tests.measure_code import is_annotated, public_functions

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "toolkit").rglob("*.py"))
PAGE = sorted((ROOT / "demos").glob("*.py"))


def asserts(tree):
    """`assert` vanishes under -O, and tells the caller nothing."""
    return [f"line {node.lineno}: assert" for node in ast.walk(tree) if isinstance(node, ast.Assert)]


def code_running_loads(tree):
    """Loading what may run code: pickle, and torch.load unless weights_only=True."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None)]
            if {"cPickle", "dill", "joblib", "cloudpickle", "marshal", "shelve"} & set(names):
                found.append(f"line {node.lineno}: {ast.unparse(node)}")
            if isinstance(node, ast.ImportFrom) and node.module in ("pickle", "torch"):
                if {"load", "loads"} & {alias.name for alias in node.names}:
                    found.append(f"line {node.lineno}: {ast.unparse(node)}")
        if isinstance(node, ast.Call):
            call = ast.unparse(node.func)
            safe = any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in node.keywords)
            if call in ("pickle.load", "pickle.loads") or (call == "torch.load" and not safe):
                found.append(f"line {node.lineno}: {call}")
    return found


def missing_docstrings(tree):
    """A module, and each public function or class in it, says what it is; an empty one need not."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    public = [node for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")]
    found = [f"line {node.lineno}: {node.name}" for node in public if not ast.get_docstring(node)]
    return found if ast.get_docstring(tree) or not tree.body else ["line 1: module", *found]


def missing_types(tree):
    """Public functions and methods say the types of all arguments and of what they return."""
    found = public_functions(tree)
    return [f"line {function.lineno}: {function.name}" for function in found if not is_annotated(function)]


RULES = [asserts, code_running_loads, missing_docstrings, missing_types]


@pytest.mark.parametrize("rule", RULES)
def test_every_module_keeps_the_rule(rule):
    found = {str(path.relative_to(ROOT)): rule(ast.parse(path.read_text("utf-8"))) for path in MODULES}
    assert {path: lines for path, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "rule, code",
    [
        (asserts, '"""."""\nassert True'),
        (code_running_loads, "pickle.load(file)"),
        (code_running_loads, "from pickle import loads"),
        (code_running_loads, "torch.load(path)"),
        (code_running_loads, "torch.load(path, weights_only=False)"),
        (code_running_loads, "import dill"),
        (missing_docstrings, '"""."""\ndef public(): pass'),
        (missing_docstrings, "x = 1"),
        (missing_types, "def public(x: int): pass"),
        (missing_types, "class Public:\n    def method(self, *, x=1) -> None: pass"),
    ],
)
def test_each_rule_finds_its_offender(rule, code):
    assert rule(ast.parse(code))


def test_no_module_is_called_utils():
    assert MODULES and not [path for path in MODULES if re.match(r"(utils?|helpers?|misc)$", path.stem)]


def test_imports_point_down_only(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("logging.config.dictConfig", lambda config: None)  # it would silence the loggers there are
    status = lint_imports(config_filename=str(ROOT / "setup.cfg"), no_cache=True)
    assert status == 0, capsys.readouterr().out


def name_of(path):
    """A file as others import it; the page's are scripts, which lie side by side."""
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    return name.removeprefix("demos.")


def imports_of(tree):
    """What a file imports anywhere in it, in functions too: a.b for `import a.b`, and for `from a import b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported(tree, known):
    """Those of the known modules that a file imports; `from a import b` is of a, where b is no module."""
    return {name if name in known else name.rpartition(".")[0] for name in imports_of(tree)} & known


def circle(imports):
    """Modules that import one another in a circle, the first repeated as the last; none is an empty list."""
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def test_no_files_import_each_other_in_a_circle():
    trees = {name_of(path): ast.parse(path.read_text("utf-8")) for path in (*MODULES, *PAGE)}
    imports = {name: imported(tree, set(trees)) for name, tree in trees.items()}
    assert len(imports["toolkit.fewshot"]) > 5 and "look" in imports["app"]
    assert circle(imports) == []


def test_a_circle_is_found_also_within_functions():
    files = {"a": "from b import c", "b": "def f():\n    import d.e", "d.e": "from d import x\nimport a", "d": ""}
    imports = {name: imported(ast.parse(code), set(files)) for name, code in files.items()}
    assert imports == {"a": {"b"}, "b": {"d.e"}, "d.e": {"d", "a"}, "d": set()}
    assert set(circle(imports)) == {"a", "b", "d.e"}


def test_the_package_imports_neither_tests_nor_the_page():
    others = {"tests", "demos", "notebooks", *map(name_of, PAGE)}
    roots = {path.relative_to(ROOT): ast.parse(path.read_text("utf-8")) for path in MODULES}
    found = {str(path): {name.split(".")[0] for name in imports_of(tree)} & others for path, tree in roots.items()}
    assert {path: names for path, names in found.items() if names} == {}
