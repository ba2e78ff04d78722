"""Read names from a text file, one a line, in any common encoding."""

import codecs
import re
from pathlib import Path

import numpy as np

from toolkit.errors import LabelError
from toolkit.pictures.labels import check_classes

# UTF-32 before UTF-16, as UTF-32's little-endian mark begins with UTF-16's.
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
MOST_CLASSES = 255  # the value 255 is "unlabelled"
COLOR = re.compile(r"(.*\S)\s+#([0-9a-fA-F]{6})")


def read_class_names(path: Path, call: str) -> tuple[tuple[str, ...], np.ndarray | None]:
    """The names in a text file, and their colours if it gives them: `background #000000`.

    Args:
        path: UTF-8, UTF-16, UTF-32 or cp1252 (Western Windows), with or without a byte order mark; one name a
            line, background (value 0) first; empty lines at the end only.
        call: the public call to name in errors.
    Returns:
        names; palette (K, 3) uint8, or None.
    Raises:
        LabelError: another encoding; fewer than two names, or more than 255; an empty line between two; a
            name or a colour twice; colours for some only.
    """
    lines = [line.strip() for line in _decode(path, call).rstrip().splitlines()]
    if not 2 <= len(lines) <= MOST_CLASSES:
        raise LabelError(
            call, f"2 to {MOST_CLASSES} names in {path}", len(lines), "Write one a line, background, value 0, first"
        )
    if "" in lines:
        got = f"an empty one, line {lines.index('') + 1}, before {lines[-1]!r}"
        raise LabelError(call, f"a name for each value in {path}", got, "Name that value, or delete the line")
    colored = [COLOR.fullmatch(line) for line in lines]
    if any(colored) and not all(colored):
        bare = lines[colored.index(None)]
        raise LabelError(call, f"a colour for each class in {path}, or for none", f"none for {bare!r}", "Add it")
    names = [found[1] if found else line for found, line in zip(colored, lines, strict=True)]
    colors = [found[2].lower() for found in colored if found]
    for values, what in ((names, "names"), (colors, "colours")):
        twice = sorted({value for value in values if values.count(value) > 1})
        if twice:
            raise LabelError(call, f"different {what} in {path}", f"{twice[0]!r} twice", "Change one of them")
    palette = np.array([list(bytes.fromhex(color)) for color in colors], np.uint8) if colors else None
    return check_classes(names, call), palette


def read_names(path: Path, call: str) -> set[str]:
    """The lines of a text file that are not empty, without blanks around them.

    Args:
        path, call: as `read_class_names` takes them.
    Raises:
        LabelError: another encoding.
    """
    return {line.strip() for line in _decode(path, call).splitlines()} - {""}


def _decode(path, call):
    data = path.read_bytes()
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    if b"\0" in data:  # UTF-16 without a mark: of ASCII letters every other byte is zero
        return data.decode("utf-16-le" if data[1:2] == b"\0" else "utf-16-be", "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("cp1252", "replace")
        if all(letter.isascii() or letter.isalpha() or letter == "’" for letter in text):
            return text
        # Symbols where letters should be suggest another encoding: guessing would garble the names.
        raise LabelError(call, f"{path} in UTF-8", "another encoding", "Save it as UTF-8") from None
