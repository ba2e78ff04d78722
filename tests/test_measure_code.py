import ast

import pytest

from tests.measure_code import is_annotated, measure, public_functions

CODE = '''"""A module."""

def whole(a: int, *, b: str = "") -> None:
    """Three lines with this one."""
    return None

def half(a, b: int) -> None:
    def nested(): pass

def _own(a): pass

class Public:
    def method(self, *rest: int) -> int:
        return 1

    def _own(self): pass

class _Own:
    def method(self): pass
'''


def test_every_count():
    found = measure({"a.py": CODE, "b.py": "\n" * 4})
    assert found["modules"] == "2" and found["lines"] == str(len(CODE.splitlines()) + 4)
    assert found["functions"] == "7" and found["lines of a function, mean"] == f"{(3 + 2 + 1 + 1 + 2 + 1 + 1) / 7:.1f}"
    assert found["lines of the longest"] == "3 (a.py: whole)"
    assert found["public functions"] == "3" and found["annotated"] == "67%"


def test_public_functions_are_those_others_can_name():
    assert [f.name for f in public_functions(ast.parse(CODE))] == ["whole", "half", "method"]


@pytest.mark.parametrize(
    ("signature", "annotated"),
    [
        ("f() -> None", True),
        ("f()", False),
        ("f(a) -> None", False),
        ("f(self, a: int, /, b: int, *c: int, d: int, **e: int) -> int", True),
        ("f(*a) -> int", False),
        ("f(**a) -> int", False),
        ("f(*, a) -> int", False),
    ],
)
def test_annotated_is_every_argument_and_the_result(signature, annotated):
    assert is_annotated(ast.parse(f"def {signature}: pass").body[0]) == annotated
