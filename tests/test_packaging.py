"""What `pip install .` would put on a machine."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BUILT_FROM = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "toolkit", "weights")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel built without network from a copy of the sources, which leaves no build/ behind."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in BUILT_FROM:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source)
    (source / "weights" / "probe.safetensors").touch()  # so that weights are tested before any is bundled
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--no-cache-dir", "--wheel-dir", str(target)]
    command = [sys.executable, "-m", "pip", "wheel", *options, str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next(target.glob("*.whl"))


def test_the_wheel_holds_every_module_and_all_weights(wheel):
    inside = set(zipfile.ZipFile(wheel).namelist())
    files = [path for path in (ROOT / "toolkit").rglob("*") if path.suffix not in (".pyc", "")]
    modules = {str(path.relative_to(ROOT)) for path in files}
    weights = {f"toolkit/weights/{path.name}" for path in (ROOT / "weights").iterdir() if path.is_file()}
    assert {"toolkit/errors.py", "toolkit/py.typed"} <= modules and "toolkit/weights/__init__.py" in weights
    weights.add("toolkit/weights/probe.safetensors")
    assert modules | weights <= inside, sorted((modules | weights) - inside)
    assert not [name for name in inside if name.startswith(("tests/", "weights/"))]


def test_the_wheel_works_where_it_is_installed(wheel, tmp_path):
    site = tmp_path / "site"
    options = ["--no-deps", "--no-index", "--quiet", "--target", str(site)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(wheel)], check=True)
    code = (
        "import importlib.resources, toolkit.pictures.images, toolkit.gan, toolkit.worlds\n"
        "print(importlib.resources.files('toolkit.weights').joinpath('__init__.py').is_file())\n"
        "print(toolkit.pictures.images.__file__)"
    )
    start = f"import sys; sys.path.insert(0, {str(site)!r})\n"
    done = subprocess.run(
        [sys.executable, "-c", start + code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", str(site / "toolkit" / "pictures" / "images.py")]


def test_the_wheel_brings_the_command(wheel):
    archive = zipfile.ZipFile(wheel)
    entry_points = next(name for name in archive.namelist() if name.endswith("entry_points.txt"))
    assert "toolkit = toolkit.cli:main" in archive.read(entry_points).decode()
