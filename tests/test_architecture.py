"""The house rules that a machine can check."""

import ast
import configparser
import re
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "toolkit").rglob("*.py"))
FLOORS = "importlinter:contract:floors"


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


RULES = [asserts, code_running_loads, missing_docstrings]


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
    ],
)
def test_each_rule_finds_its_offender(rule, code):
    assert rule(ast.parse(code))


def test_no_module_is_called_utils():
    assert MODULES and not [path for path in MODULES if re.match(r"(utils?|helpers?|misc)$", path.stem)]


def test_imports_point_down_only(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    status = lint_imports(config_filename=str(ROOT / "setup.cfg"), no_cache=True)
    assert status == 0, capsys.readouterr().out


def test_every_module_has_its_floor():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", "utf-8")
    floors = set(re.findall(r"toolkit[\w.]*", config[FLOORS]["layers"]))
    names = {".".join(p.relative_to(ROOT).with_suffix("").parts) for p in MODULES if p.stem != "__init__"}
    homeless = {name for name in names if not any(f == name or name.startswith(f + ".") for f in floors)}
    assert homeless == set(), f"list them in setup.cfg, [{FLOORS}]"
