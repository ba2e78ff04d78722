"""Write an experiment's results as files: CSV tables, a Markdown report and a contact sheet."""

import csv
import importlib.metadata
import platform
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from toolkit.experiments import records
from toolkit.experiments.material import test_images
from toolkit.experiments.sources import ScoredOnly
from toolkit.experiments.study import AUTO_SHOT, Study
from toolkit.experiments.tables import TablePlan
from toolkit.files import replace_when_done
from toolkit.pictures import images, labels
from toolkit.show import plots

CAPTION = """{choices}; scored on {num_test} other pictures of {source}; GAN {gan}, {resolution} pixels.
Mean: plain mean IoU over classes. "Paper": its own numbers, on photographs at 1024 pixels."""

DISTILLATION = {"num_images": "--num-images", "num_epochs": "--epochs"}  # of auto-shot, and how commands name it


def write(study: Study, plan: TablePlan, found: dict, tables: dict[str, Any], seeds: int) -> dict[str, Any]:
    """Write NAME.md, NAME.png and one CSV for each table to the study's folder.

    Args:
        study: a `Study`.
        plan: a `TablePlan`.
        found: dict, cell -> what was found, as `records.results` gives it.
        tables: dict, title -> list of rows (dicts), or -> dict of single numbers.
        seeds: how many.
    Returns:
        JSON-serialisable dict: experiment, about (how it was made), the tables, files.
    """
    about = {
        "world": study.source.name,
        "gan": study.gan.metadata.get("name"),
        "resolution": study.gan.resolution,
        "num_test": len(test_images(study)[1]),  # a data set may have fewer than were asked for
        "seeds": list(range(seeds)),
        "psnr": round(mean(found[c]["psnr"] for c in plan.cells if c.needs_latents), 2),
        **versions(),
    }
    files = {"text": study.folder / f"{plan.name}.md", "contact sheet": study.folder / f"{plan.name}.png"}
    images.save_png(files["contact sheet"], _sheet(study, plan))
    _write(files["text"], _markdown(study, plan, tables, seeds, about))
    for title, rows in tables.items():
        file = study.folder / f"{plan.name}-{_slug(title)}.csv"
        with replace_when_done(file) as temporary, open(temporary, "w", newline="", encoding="utf-8") as out:
            rows = _rows(rows)
            writer = csv.DictWriter(out, rows[0])
            writer.writeheader()
            writer.writerows(rows)
        files[f"table: {title}"] = file
    return {"experiment": plan.name, "about": about, **tables, "files": {k: str(file) for k, file in files.items()}}


def into_readme(readme: str | Path, folder: str | Path) -> list[str]:
    """Insert experiments' Markdown reports into a file, between markers.

    Args:
        readme: file with lines `<!-- experiment NAME -->` and, later, `<!-- end -->`; what is between them
            is replaced by NAME.md; "photographs/table1" is that of experiments with --out in that sub-folder.
            Tables that were not run again stay as they are.
        folder: of the experiments.
    Returns:
        list of the names that were replaced.
    Raises:
        OSError: no such file, or one that cannot be written.
    """
    names = []

    def fresh(match):
        file = Path(folder) / f"{match[1]}.md"
        if not file.is_file():
            return match[0]
        names.append(match[1])
        return f"<!-- experiment {match[1]} -->\n{file.read_text('utf-8')}<!-- end -->"

    text = Path(readme).read_text("utf-8")
    _write(readme, re.sub(r"<!-- experiment ([\w/-]+) -->\n.*?<!-- end -->", fresh, text, flags=re.DOTALL))
    return names


def versions() -> dict[str, str | None]:
    """What the numbers were made with: dict of toolkit, commit (None outside a clone), torch, python, machine."""
    folder = Path(__file__).parent
    done = (
        subprocess.run(
            ["git", "-C", folder, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=False
        )
        if _in_a_clone(folder)
        else None
    )
    return {
        "toolkit": importlib.metadata.version("one-shot-parts"),
        "commit": done.stdout.strip() if done else None,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
    }


def markdown_table(rows: Sequence[dict[str, Any]]) -> str:
    """Rows (dicts with the same keys) as a Markdown table: numbers right-aligned, one decimal, None as a dash."""
    keys = list(rows[0])
    numeric = [all(isinstance(row[key], (int, float, type(None))) for row in rows) for key in keys]
    lines = [keys, ["---:" if right else "---" for right in numeric]]
    lines += [["–" if row[key] is None else _text(row[key]) for key in keys] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(value):
    return f"{value:.1f}" if isinstance(value, float) and abs(value) >= 0.1 else str(value)


def _markdown(study, plan, tables, seeds, about):
    source = f"the world {about['world']}" if study.source.is_world else about["world"]
    choices = "One choice of labelled pictures"
    if seeds > 1:
        choices = f"Means over {seeds} choices of labelled pictures, ± their standard deviation"
    settings = {name: about[name] for name in ("num_test", "gan", "resolution")}
    caption = CAPTION.format(choices=choices, source=source, **settings)
    parts = [f"### {plan.title}", caption]
    for title, rows in tables.items():
        parts += [f"**{title}**"] if len(tables) > 1 else []
        parts.append(markdown_table(_rows(rows)))
    made = ", ".join(f"{name} {about[name]}" for name in ("toolkit", "commit", "torch", "python"))
    chosen = "" if study.source.is_world else f" --data {about['world']} --gan {about['gan']}"
    if not study.source.is_world and (fit := getattr(study.source.dataset, "fit", study.gan.fit)) != study.gan.fit:
        chosen += f" --fit {fit}"
    if isinstance(study.source, ScoredOnly):
        chosen += " --examples"
    if any(cell.method == AUTO_SHOT for cell in plan.cells):
        given = {option: study.distillation.get(name) for name, option in DISTILLATION.items()}
        chosen += "".join(f" {option} {value}" for option, value in given.items() if value is not None)
    if study.num_steps is not None:
        chosen += f" --num-steps {study.num_steps}"
    parts.append(f"`python -m toolkit experiment {plan.name}{chosen} --seeds {seeds}`: {made}; {about['machine']}.")
    return "\n\n".join(parts) + "\n"


def _rows(rows):
    """A table's rows; of single numbers, a row each."""
    return rows if isinstance(rows, list) else [{"": name, "value": value} for name, value in rows.items()]


def _sheet(study, plan):
    """Some test pictures, their truth, and each method's predictions."""
    first = next(iter(plan.sheet.values()))
    classes = study.source.class_sets[first.num_classes]
    image, truth = (x[: records.SHOWN] for x in test_images(study))
    columns = {"picture": image, "truth": labels.merge(truth, study.source.classes, classes)}
    columns |= {title: records.shown(study, cell) for title, cell in plan.sheet.items()}
    columns = {title: list(column) for title, column in columns.items()}
    return plots.comparison(columns, labels.default_palette(len(classes)), classes)


def _slug(title):
    return "".join(c if c.isalnum() else "-" for c in title.lower())


def _in_a_clone(folder):
    return (folder.parents[1] / ".git").exists()


def _write(path, text):
    with replace_when_done(path) as temporary:
        Path(temporary).write_text(text, "utf-8")
