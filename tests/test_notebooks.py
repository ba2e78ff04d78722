"""The notebooks run top to bottom, are kept without outputs, and say nothing that is not so."""

import configparser
import re
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import nbformat
import pytest
from PIL import Image
from typer.main import get_command

from notebooks import run
from toolkit.cli import app

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = [
    "01_generate_and_look_inside",
    "02_draw_one_label",
    "03_teach_a_segmenter",
    "04_your_own_photo",
    "05_auto_shot",
    "06_your_own_gan",
]
COLAB = "https://colab.research.google.com/github/"


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem[:2])
def path(request):
    return request.param


@pytest.fixture
def cells(path):
    return nbformat.read(path, as_version=4).cells


@pytest.fixture(scope="module")
def address():
    """Where the project lives, as setup.cfg says."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", "utf-8")
    return config["metadata"]["url"]


def code_of(cells):
    return [cell.source for cell in cells if cell.cell_type == "code"]


def test_all_six_are_there():
    assert [path.stem for path in NOTEBOOKS] == NAMES


def test_it_runs_top_to_bottom(path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = run.execute(path)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    assert not code[0].outputs  # the install cell does nothing where the toolkit is installed
    shown = Image.open(BytesIO(run.picture(notebook)))
    assert min(shown.size) > 200 and shown.convert("L").getextrema() != (255, 255)


def test_its_picture_is_kept_for_the_readme(path):
    with Image.open(ROOT / "docs" / f"notebook-{path.stem[:2]}.png") as picture:
        assert min(picture.size) > 200


def test_it_is_kept_without_outputs(path):
    done = subprocess.run([sys.executable, "-m", "nbstripout", "--verify", str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_opens_with_a_badge_a_title_and_one_install_cell(path, cells, address):
    repository = address.removeprefix("https://github.com/")
    assert f"({COLAB}{repository}/blob/main/notebooks/{path.name})" in cells[0].source
    assert cells[1].source.startswith(f"# {int(path.stem[:2])}. ")
    installs = [source for source in code_of(cells) if "pip install" in source]
    assert installs == [cells[2].source] and f"git+{address}" in installs[0] and 'find_spec("toolkit")' in installs[0]


def test_cells_are_short_and_define_nothing(cells):
    for source in code_of(cells):
        assert len(source.splitlines()) <= 20, source
        assert not re.search(r"^\s*(def|class|lambda)\b", source, re.M), source


def test_where_a_person_draws_a_labelled_cell_stands_in(path, cells):
    empty = [
        i
        for i, cell in enumerate(cells)
        if re.search(r"Labeller\((?!.*label_maps=)", cell.source) and cell.cell_type == "code"
    ]
    for i in empty:
        later = [cell for cell in cells[i:] if run.FALLBACK in cell.metadata.get("tags", [])]
        assert later and ".label_maps = " in later[0].source
    assert bool(empty) == (path.stem == "02_draw_one_label")


def test_the_commands_and_notebooks_it_names_exist(cells):
    text = "\n".join(cell.source for cell in cells)
    assert set(re.findall(r"python -m toolkit ([a-z-]+)", text)) <= set(get_command(app).commands)
    assert set(re.findall(r"\]\((\w+)\.ipynb\)", text)) <= set(NAMES)
