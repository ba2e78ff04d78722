"""Put the results of a batch together, for other tools."""

from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from toolkit.batch.naming import find
from toolkit.batch.segmenting import is_done, key_of
from toolkit.files import replace_when_done
from toolkit.parts.coco import stream_coco
from toolkit.parts.label_studio import stream_label_studio
from toolkit.pictures import images, labels


def gather(
    segmenter: Any,
    paths: Iterable[str | PathLike],
    out: str | PathLike,
    *,
    num_steps: int | None = None,
    align: str | None = None,
    coco: str | PathLike | None = None,
    label_studio: str | PathLike | None = None,
    masks: str | PathLike | None = None,
) -> int:
    """Put together what `segment_files` wrote, for other tools; one picture in memory at a time.

    Args:
        segmenter, paths, out, num_steps, align: of that call; pictures it has not done are left out.
        coco: one COCO file to write.
        label_studio: one file for Label Studio's import; its pictures are named by their paths.
        masks: a folder for masks/NAME.png, the class of each pixel as a grey PNG, and classes.txt.
    Returns:
        number of pictures.
    Raises:
        ToolkitError: COCO without pycocotools.
    """
    out, key = Path(out), key_of(segmenter, align, num_steps)
    found = [(f, name) for f, name in find(list(paths)) if is_done(f, out / f"{name}.json", key)]

    def label_map(name: str) -> np.ndarray:
        return labels.load_label_png(out / f"{name}.parts.png")[0].numpy().astype(np.uint8)

    if coco is not None:
        stream_coco(coco, ((file.name, label_map(name)) for file, name in found), segmenter.classes)
    if label_studio is not None:
        stream_label_studio(label_studio, ((str(f), label_map(name)) for f, name in found), segmenter.classes)
    if masks is not None:
        with replace_when_done(Path(masks) / "classes.txt") as temporary:
            Path(temporary).write_text("".join(f"{name}\n" for name in segmenter.classes), "utf-8")
        for _, name in found:
            images.save_png(Path(masks) / "masks" / f"{name}.png", Image.fromarray(label_map(name)))
    return len(found)
