"""The documentation builds, every link in it leads somewhere, and its API is the package's."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_site_builds_without_a_warning(tmp_path):
    """Strict: a broken link, a page left out of the menu or a module that is gone ends the build."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    api = (tmp_path / "site" / "api" / "index.html").read_text("utf-8")
    assert all(f"toolkit.fewshot.{name}" in api for name in ("fit", "Segmenter"))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_files_that_a_page_names_exist(page):
    text = page.read_text("utf-8")
    named = re.findall(r"`((?:toolkit|demos|notebooks|weights|docs|tests)/[\w./-]*)`", text)
    linked = re.findall(r"\]\((?!http|#)([^)]+)\)", text)
    missing = [n for n in named if not (ROOT / n).exists()] + [x for x in linked if not (page.parent / x).exists()]
    assert missing == []
