"""The notebooks run top to bottom, are kept without outputs, and say nothing that is not so."""

import os
import re
import shutil
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import foreign_files
import nbformat
import pytest
from PIL import Image
from typer.main import get_command

from notebooks import address as where
from notebooks import run
from toolkit.cli import app
from toolkit.gan.files import zoo
from toolkit.gan.files.checkpoints import load_networks

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = [
    "01_generate_and_look_inside",
    "02_draw_one_label",
    "03_teach_a_segmenter",
    "04_your_own_photo",
    "05_auto_shot",
    "06_your_own_gan",
    "07_from_a_pkl_to_results",
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
    return where.address()


def code_of(cells):
    return [cell.source for cell in cells if cell.cell_type == "code"]


def test_all_seven_are_there():
    assert [path.stem for path in NOTEBOOKS] == NAMES


@pytest.fixture(scope="module")
def own_gan(tmp_path_factory):
    """The bundled GAN as NVIDIA's code would have saved it: what a person of notebook 7 has."""
    file = tmp_path_factory.mktemp("own") / "my-gan.pkl"
    foreign_files.write_nvidia(file, *load_networks(zoo.weights_path("portraits-64")))
    return file


# A reader's notebook learns until its pictures are worth looking at; whether every cell runs shows after a few steps.
FEW = {
    r"\b(num_steps=|STEPS = )[1-9]\d*": r"\g<1>2",
    r"\b(num_epochs(=|\": ))\d+": r"\g<1>1",
    r"\b(num_images(=|\": ))\d+": r"\g<1>16",
    r"\bnum=12\b": "num=4",
    r"\brender\(240\b": "render(16",
    r"\bnum_pictures=240\b": "num_pictures=16",
}
FEW_BY_DEFAULT = """
from toolkit.gan.model import GAN
from toolkit.parts import fitting, views

fitting.NUM_STEPS.update(dict.fromkeys(fitting.NUM_STEPS, 5))
views.VIEWS = 2
GAN.projection_steps = 2
"""


def shortened(notebook):
    """The notebook with few steps, few pictures and few epochs, wherever it says how many."""
    for cell in notebook.cells:
        for usual, few in FEW.items():
            if cell.cell_type == "code":
                cell.source = re.sub(usual, few, cell.source)
    notebook.cells.insert(3, nbformat.v4.new_code_cell(FEW_BY_DEFAULT))
    return notebook


def test_each_number_that_is_made_small_is_in_a_notebook():
    sources = "\n".join(source for path in NOTEBOOKS for source in code_of(nbformat.read(path, as_version=4).cells))
    assert [usual for usual in FEW if not re.search(usual, sources)] == []


def runs(path, notebook, own_gan, monkeypatch):
    """Run it, and look at what it shows."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = run.execute(notebook, [own_gan] if path.stem.startswith("07") else [])
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    assert not code[0].outputs  # the install cell does nothing where the toolkit is installed
    shown = Image.open(BytesIO(run.picture(notebook)))
    assert min(shown.size) > 200 and shown.convert("L").getextrema() != (255, 255)


def test_it_runs_top_to_bottom(path, own_gan, monkeypatch):
    runs(path, shortened(nbformat.read(path, as_version=4)), own_gan, monkeypatch)


@pytest.mark.slow
def test_it_runs_top_to_bottom_as_it_stands(path, own_gan, monkeypatch):
    runs(path, nbformat.read(path, as_version=4), own_gan, monkeypatch)


def test_its_picture_is_kept_for_the_readme(path):
    with Image.open(ROOT / "docs" / f"notebook-{path.stem[:2]}.png") as picture:
        assert min(picture.size) > 200


def test_they_are_kept_without_outputs():
    command = [sys.executable, "-m", "nbstripout", "--verify", *map(str, NOTEBOOKS)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_opens_with_a_badge_a_title_and_one_install_cell(path, cells, address):
    repository = address.removeprefix("https://github.com/")
    assert f"({COLAB}{repository}/blob/main/notebooks/{path.name})" in cells[0].source
    assert cells[1].source.startswith(f"# {int(path.stem[:2])}. ")
    installs = [source for source in code_of(cells) if "pip" in source]
    assert installs == [cells[2].source] and f'ADDRESS = "{address}"\n' in installs[0]


def install(folder, cells):
    """Run an install cell in a new process, in a folder, without any toolkit on its path."""
    options = ["-S", "-c", cells[2].source + "\nimport toolkit; print(toolkit.__file__)"]
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run([sys.executable, *options], cwd=folder, env=clean, capture_output=True, text=True)


def test_it_runs_from_a_clone_without_being_installed(path, cells):
    if not path.stem.startswith("01"):
        pytest.skip("the cell is the same in all")
    done = install(ROOT / "notebooks", cells)
    assert done.stdout.strip() == str(ROOT / "toolkit" / "__init__.py"), done.stderr


def test_an_address_where_nothing_is_is_one_line(path, cells, address, tmp_path):
    if not path.stem.startswith("01"):
        pytest.skip("the cell is the same in all")
    cells[2].source = cells[2].source.replace(address, (tmp_path / "nowhere").as_uri())
    done = install(tmp_path, cells)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("Nothing to install at file:///") and "run this from a clone" in done.stderr


def test_install_cells_are_alike(cells):
    assert cells[2].source == nbformat.read(NOTEBOOKS[0], as_version=4).cells[2].source


def test_one_command_sets_the_address_everywhere(tmp_path):
    (tmp_path / "notebooks").mkdir()
    for file in (ROOT / "setup.cfg", *NOTEBOOKS):
        shutil.copy(file, tmp_path / file.relative_to(ROOT))
    changed = where.change("https://github.com/me/parts.git", tmp_path)
    assert len(changed) == 1 + len(NOTEBOOKS) and where.address(tmp_path) == "https://github.com/me/parts"
    for file in changed:
        text = file.read_text("utf-8")
        assert where.address() not in text and "one-shot-parts/one-shot-parts" not in text and "me/parts" in text
        assert file.suffix != ".ipynb" or (
            f"{COLAB}me/parts/blob/main/notebooks/{file.name}" in text and nbformat.reads(text, 4)
        )
    assert where.change("https://github.com/me/parts", tmp_path) == []
    with pytest.raises(ValueError, match="address: expected https://github.com/OWNER/NAME; got 'https://x.org/a/b'"):
        where.change("https://x.org/a/b", tmp_path)


def test_whether_the_address_is_there_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(where, "missing", lambda url: "HTTP status 404")
    assert where.main([]) == 1
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and "is not there (HTTP status 404). Set yours: python notebooks/address.py" in said


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
