"""Check a TIFF's header, which may be crafted, so that decoding stays within bounds."""

import struct

MAX_VALUES = 1 << 20  # of all entries; a strip for each row of the largest picture has 65,535
COMPRESSIONS = {"raw", "tiff_ccitt", "group3", "group4", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits"}
STARTS = {b"II*\0": "<", b"MM\0*": ">"}
BYTES = (1, 2, 7)  # types whose values Pillow does not convert to numbers


def check_header(data: bytes) -> None:
    """Refuse a TIFF whose first directory, the only one read, would take Pillow too long.

    Pillow converts each value to a Python number without reading, so the deadline of `uploads` cannot stop it.

    Args:
        data: the file; what does not start like a TIFF is let through.
    Raises:
        ValueError: more values than any picture needs, or a directory that is cut off.
    """
    order = STARTS.get(data[:4])
    if order is None:
        if data[:2] in (b"II", b"MM"):
            raise ValueError("a TIFF of a rare kind")
        return
    try:
        (start,) = struct.unpack_from(order + "I", data, 4)
        (entries,) = struct.unpack_from(order + "H", data, start)
        values = 0
        for i in range(entries):
            kind, count = struct.unpack_from(order + "HI", data, start + 2 + 12 * i + 2)
            values += 0 if kind in BYTES else count
    except struct.error as error:
        raise ValueError("a TIFF that is cut off") from error
    if values > MAX_VALUES:
        raise ValueError(f"a TIFF of {values} values")
