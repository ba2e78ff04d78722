"""What the README shows is what happens."""

import re
from pathlib import Path

import numpy as np
from PIL import Image
from typer.main import get_command

from toolkit.__main__ import app
from toolkit.pictures.labels import THREE_CLASSES
from toolkit.worlds import portraits

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def test_the_example_runs(tmp_path, monkeypatch):
    code = re.search(r"```python\n(.*?)```", README, re.S).group(1)
    monkeypatch.chdir(tmp_path)
    image = portraits.render(1, 96, 1_500_000)[0]
    Image.fromarray(((image[0].permute(1, 2, 0).numpy() + 1) * 127.5).astype(np.uint8)).save("photo.jpg")
    exec(code, {})
    parts = np.asarray(Image.open("parts.png"))
    assert parts.shape == (96, 96) and set(np.unique(parts)) <= set(range(len(THREE_CLASSES)))


def test_every_picture_and_command_exists():
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", README) + re.findall(r'(?:src|href)="(?!http)(.*?)"', README)
    assert len(pictures) > 10
    for picture in pictures:
        assert (ROOT / picture).is_file(), picture
    commands = get_command(app).commands
    assert set(re.findall(r"python -m toolkit ([a-z-]+)", README)) <= set(commands)
    experiments = set(re.findall(r"python -m toolkit experiment ([a-z0-9-]+)", README))
    assert experiments and experiments <= set(commands["experiment"].commands)
