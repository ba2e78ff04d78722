"""What a GAN is trained on: many pictures, as one uint8 array on disk, and no labels."""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from toolkit.errors import ImageError, ToolkitError
from toolkit.files import replace_when_done
from toolkit.pictures.images import load_image, to_uint8

LAST_TRAINING_SEED = 600_000  # later seeds belong to parsers and shots, those from 1,000,000 to tests
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}


def from_world(render, num, resolution, path, device="cpu", progress=True):
    """Render pictures once and keep them; their labels are dropped here, unread.

    Args:
        render: a world's `render(num, resolution, seed, device) -> (image, label_map)`.
        num: pictures, of seeds 0 to num - 1.
        resolution: side in pixels.
        path: the .npy file to make, or to reuse when it is there.
        device: where to render.
        progress: show a bar.
    Returns:
        (num, 3, R, R) uint8, memory-mapped.
    Raises:
        ToolkitError: so many pictures that seeds kept for evaluation would be among them.
    """
    if not 1 <= num <= LAST_TRAINING_SEED:
        raise ToolkitError("from_world", f"1 to {LAST_TRAINING_SEED} pictures", num, "Later seeds are for tests")
    chunk = 256

    def batches():
        for seed in range(0, num, chunk):
            yield render(min(chunk, num - seed), resolution, seed, device)[0]

    return _collect(batches(), num, resolution, path, progress)


def from_folder(folder, resolution, path, progress=True):
    """Read every picture below a folder, cut to the centred square and resized.

    Args:
        folder: searched with its sub-folders for PNG, JPEG, WebP and BMP files.
        resolution, path, progress: as in `from_world`.
    Returns:
        (N, 3, R, R) uint8, memory-mapped.
    Raises:
        ImageError: no pictures there, or one that cannot be read.
    """
    files = sorted(f for f in Path(folder).rglob("*") if f.suffix.lower() in SUFFIXES)
    if not files:
        raise ImageError("from_folder", f"a folder with {', '.join(sorted(SUFFIXES))} files", folder, "Check the path")
    return _collect((load_image(f, resolution) for f in files), len(files), resolution, path, progress)


def _collect(batches, num, resolution, path, progress):
    path, shape = Path(path), (num, 3, resolution, resolution)
    if path.exists() and (kept := np.load(path, mmap_mode="r")).shape == shape:
        return kept
    with replace_when_done(path) as temporary:
        pictures = np.lib.format.open_memmap(temporary, "w+", np.uint8, shape)
        done = 0
        with tqdm(total=num, desc="pictures", unit="picture", disable=not progress) as bar:
            for image in batches:
                pictures[done : done + len(image)] = to_uint8(image).transpose(0, 3, 1, 2)
                done += len(image)
                bar.update(len(image))
        pictures.flush()
    return np.load(path, mmap_mode="r")
