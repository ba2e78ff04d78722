"""Pictures as people have them, whole, broken and hostile: a picture or one line, in bounded time and memory."""

import io
import json
import struct
import subprocess
import sys
import time
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from toolkit.errors import ImageError, ToolkitError
from toolkit.pictures import uploads
from toolkit.pictures.images import frame_image
from toolkit.pictures.uploads import decode, formats, open_rgb

ROOT = Path(__file__).parent.parent
WIDTH, HEIGHT = 48, 32
PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"


def picture():
    """Red left, blue right, so that turning it shows."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[:, : WIDTH // 2, 0] = pixels[:, WIDTH // 2 :, 2] = 200
    return Image.fromarray(pixels)


def saved(image, format, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def noisy(image):
    """The same with grain: a file of some length, to be cut and changed."""
    grain = np.random.default_rng(0).integers(0, 40, (image.height, image.width, 3), dtype=np.uint8)
    return Image.fromarray(np.asarray(image) + grain)


def half_clear():
    image = picture().convert("RGBA")
    image.putalpha(Image.fromarray(np.repeat([[255], [0]], HEIGHT // 2, 0).astype(np.uint8).repeat(WIDTH, 1)))
    return image


def animation():
    return {"save_all": True, "append_images": [Image.new("RGB", (WIDTH, HEIGHT), "lime")]}


GREY16 = Image.fromarray(np.full((HEIGHT, WIDTH), 257 * 100, np.uint16))
FILES = {
    "jpeg": saved(noisy(picture()), "JPEG"),
    "jpeg-progressive": saved(noisy(picture()), "JPEG", progressive=True),
    "jpeg-cmyk": saved(noisy(picture()).convert("CMYK"), "JPEG"),
    "jpeg-grey": saved(noisy(picture()).convert("L"), "JPEG"),
    "png": saved(noisy(picture()), "PNG"),
    "png-16-bit": saved(GREY16, "PNG"),
    "png-palette": saved(noisy(picture()).quantize(16), "PNG", transparency=0),
    "png-alpha": saved(half_clear(), "PNG"),
    "png-grey-alpha": saved(half_clear().convert("LA"), "PNG"),
    "png-bilevel": saved(picture().convert("1"), "PNG"),
    "gif": saved(noisy(picture()).quantize(16), "GIF"),
    "gif-animated": saved(picture(), "GIF", **animation()),
    "webp": saved(noisy(picture()), "WEBP"),
    "webp-lossless": saved(half_clear(), "WEBP", lossless=True),
    "webp-animated": saved(picture(), "WEBP", **animation()),
    "bmp": saved(noisy(picture()), "BMP"),
    "tiff": saved(noisy(picture()), "TIFF"),
    "tiff-lzw": saved(noisy(picture()), "TIFF", compression="tiff_lzw"),
    "tiff-deflate-cmyk": saved(noisy(picture()).convert("CMYK"), "TIFF", compression="tiff_adobe_deflate"),
    "tiff-16-bit": saved(GREY16, "TIFF"),
    "tiff-bilevel": saved(picture().convert("1"), "TIFF", compression="group4"),
}
if "AVIF" in formats():
    FILES["avif"] = saved(noisy(picture()), "AVIF", speed=10)
if "HEIF" in formats():
    FILES["heic"] = saved(noisy(picture()), "HEIF")


def read_or_refuse(data):
    """The promise: a whole RGB picture, or a ToolkitError of one line. True for a picture."""
    try:
        assert open_rgb(data).mode == "RGB"
        assert frame_image(data, 8)[0].shape == (1, 3, 8, 8)
        return True
    except ToolkitError as error:
        assert "\n" not in str(error) and len(str(error)) < 500
        return False


GREY = ["jpeg-grey", "png-grey-alpha", "png-16-bit", "png-bilevel", "tiff-16-bit", "tiff-bilevel"]


# ---- what is whole -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(FILES.keys() - set(GREY)))
def test_every_format_shows_its_colours(name):
    image = open_rgb(FILES[name])
    assert image.mode == "RGB" and image.size == (WIDTH, HEIGHT)
    left, right = np.asarray(image, int)[4, [8, -8]]
    if name != "png-palette":  # there one of the sixteen colours is clear
        assert left[0] - left[2] > 120 and right[2] - right[0] > 120


@pytest.mark.parametrize("name", GREY)
def test_grey_has_three_equal_channels(name):
    pixels = np.asarray(open_rgb(FILES[name]))
    assert pixels.shape == (HEIGHT, WIDTH, 3) and (pixels == pixels[..., :1]).all()


def test_sixteen_bits_become_eight():
    assert (np.asarray(open_rgb(FILES["png-16-bit"])) == 100).all()
    assert (np.asarray(open_rgb(FILES["tiff-16-bit"])) == 100).all()
    deep = Image.fromarray(np.array([[-5, 0, 257, 65535, 99999]], np.int32))
    assert np.asarray(open_rgb(deep))[0, :, 0].tolist() == [0, 0, 1, 255, 255]


@pytest.mark.parametrize("name", ["png-alpha", "png-grey-alpha", "webp-lossless"])
def test_what_is_clear_is_white(name):
    pixels = np.asarray(open_rgb(FILES[name]))
    assert (pixels[HEIGHT // 2 :] == 255).all() and not (pixels[: HEIGHT // 2] == 255).any()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation(format, orientation):
    """The camera stored the picture turned or mirrored; undone, all eight show the same."""
    upright = np.array(picture())
    upright[HEIGHT // 2 :, :, 1] = 200
    stored = upright.swapaxes(0, 1) if orientation > 4 else upright
    stored = stored[::-1] if orientation in (3, 4, 6, 7) else stored
    stored = stored[:, ::-1] if orientation in (2, 3, 7, 8) else stored
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if format == "WEBP" else {"quality": 95} if format == "JPEG" else {}
    data = saved(Image.fromarray(np.ascontiguousarray(stored)), format, exif=exif, **options)
    shown = np.asarray(open_rgb(data), int)
    assert shown.shape == upright.shape and abs(shown - upright)[[8, 8, -8, -8], [8, -8, 8, -8]].max() < 40


def test_every_source_gives_the_same(tmp_path):
    data = FILES["jpeg"]
    (tmp_path / "a.jpg").write_bytes(data)
    expected = np.asarray(open_rgb(data))
    with open(tmp_path / "a.jpg", "rb") as file:
        sources = [
            tmp_path / "a.jpg",
            str(tmp_path / "a.jpg"),
            file,
            io.BytesIO(data),
            bytearray(data),
            memoryview(data),
            Image.open(tmp_path / "a.jpg"),
            expected,
        ]
        for source in sources:
            assert np.array_equal(np.asarray(open_rgb(source)), expected)


@pytest.mark.parametrize("mode", ["PA", "RGBa", "RGBX", "I;16", "I;16B", "I;16L", "YCbCr", "HSV", "CMYK", "1"])
def test_pictures_in_memory_of_any_mode(mode):
    assert open_rgb(Image.new(mode, (3, 2))).mode == "RGB"


def test_the_picture_is_the_callers_own():
    mine = picture()
    open_rgb(mine).putpixel((0, 0), (1, 2, 3))
    decode(mine, "test").putpixel((0, 0), (1, 2, 3))
    assert mine.getpixel((0, 0)) == (200, 0, 0)


def test_decoding_is_one_at_a_time(monkeypatch):
    """Several visitors of a page: memory holds one picture being decoded, and no warning filter stays changed."""
    inside, most, filters = [], [], list(warnings.filters)

    def slowly(*arguments, **options):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.02)
        inside.pop()
        return original(*arguments, **options)

    original = Image.open
    monkeypatch.setattr(Image, "open", slowly)
    with ThreadPoolExecutor(4) as pool:
        assert len(list(pool.map(open_rgb, [FILES["png"]] * 8))) == 8
    assert max(most) == 1 and warnings.filters == filters


# ---- what is broken ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_cut_off_anywhere(name):
    data = FILES[name]
    assert read_or_refuse(data)
    outcomes = [read_or_refuse(data[: len(data) * percent // 100]) for percent in range(0, 100, 5)]
    assert not any(outcomes[:10])  # half a file is never a picture


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.sampled_from([b"", PNG, JPEG + b"\xff\xe0", b"GIF89a", b"RIFF\x90\1\0\0WEBPVP8 "]))
def test_random_bytes(data, start):
    assert not read_or_refuse(start + data) or start


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(FILES)), st.data())
def test_a_changed_header(name, data):
    changed = bytearray(FILES[name])
    for _ in range(data.draw(st.integers(1, 6))):
        changed[data.draw(st.integers(0, min(len(changed), 120) - 1))] = data.draw(st.integers(0, 255))
    read_or_refuse(bytes(changed))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(FILES)), st.data())
def test_a_changed_file(name, data):
    changed = bytearray(FILES[name])
    start = data.draw(st.integers(0, len(changed) - 1))
    changed[start : start + data.draw(st.integers(0, 30))] = data.draw(st.binary(max_size=30))
    read_or_refuse(bytes(changed))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30_000), st.integers(1, 3), st.booleans())
def test_extreme_aspect_ratios(length, breadth, tall):
    size = (breadth, length) if tall else (length, breadth)
    image, frame = frame_image(saved(Image.new("RGB", size, (200, 0, 0)), "PNG"), 8)
    assert frame.size == size and abs(image[0, 0] - 200 / 127.5 + 1).max() < 1e-6
    labels = frame.restore(image[0, 0].long() * 0 + 1)
    assert labels.shape == size[::-1] and int((labels == 1).sum()) == min(size) ** 2


@pytest.mark.parametrize("value", [b"", b"GIF89a", b"no picture", PNG, JPEG])
def test_not_a_picture(value):
    with pytest.raises(ImageError, match=r"^open_rgb: expected a readable picture \(JPEG, .*\); got \d+ bytes \("):
        open_rgb(value)


@pytest.mark.parametrize("format", ["PPM", "ICO", "TGA", "JPEG2000"])
def test_other_formats_are_not_even_tried(format):
    """Rarely used decoders are where the holes are; someone who trusts a file can open it with PIL."""
    with pytest.raises(ImageError, match="Open it in an image program and save it as PNG or JPEG"):
        open_rgb(saved(picture(), format))


@pytest.mark.parametrize("error", [ValueError, SyntaxError, struct.error, IndexError, MemoryError, RecursionError])
def test_whatever_a_decoder_raises(error, monkeypatch):
    def fail(*_, **__):
        raise error("deep inside\nand more")

    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(ImageError, match=r"\(deep inside\)\. Open it"):
        open_rgb(FILES["png"])


@pytest.mark.parametrize("name", ["a\0b.png", "a" * 5000 + ".png", "", "."])
def test_names_that_no_file_can_have(name):
    with pytest.raises(ImageError):
        open_rgb(name)


def test_files_that_may_not_be_read(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError("permission denied")

    (tmp_path / "mine.png").write_bytes(FILES["png"])
    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(ImageError, match=r"mine\.png' \(permission denied\)"):
        open_rgb(tmp_path / "mine.png")


@pytest.mark.parametrize("mode", ["F", "La"])
def test_modes_no_file_has(mode):
    with pytest.raises(ImageError, match=f"expected a picture of 8 or 16 bits, .*; got one in mode '{mode}'. Convert"):
        open_rgb(Image.new(mode, (2, 2)))


def test_one_pixel_is_a_picture():
    for format in ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"):
        assert open_rgb(saved(Image.new("RGB", (1, 1), "white"), format)).getpixel((0, 0)) == (255, 255, 255)


def png_header(width, height):
    return PNG + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


def chunk(kind, data=b""):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def resized_header(name, place, width, height, order):
    """A real file that says it is larger than it is."""
    data = bytearray(FILES[name])
    data[place : place + 4] = struct.pack(order + "HH", width, height)
    return bytes(data)


BOMBS = {
    "png": png_header(1 << 30, 1 << 30) + chunk(b"IDAT", b"x"),
    "png-90-million": png_header(9000, 10_000) + chunk(b"IDAT", b"x"),
    "png-60-million": png_header(6000, 10_000) + chunk(b"IDAT", b"x"),
    "png-long": png_header(70_000, 1) + chunk(b"IDAT", b"x"),
    "jpeg": resized_header("jpeg", FILES["jpeg"].index(b"\xff\xc0") + 5, 65535, 65535, ">"),
    "gif": resized_header("gif", 6, 65535, 65535, "<"),
    "webp": saved(Image.new("RGB", (16383, 2100)), "WEBP", method=0, quality=1),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_by_their_header(name, recwarn):
    limit = 30 if name == "webp" else 50
    with pytest.raises(ImageError, match=rf"expected a picture of at most {limit} million pixels, 65535 a side; got"):
        open_rgb(BOMBS[name])
    assert not recwarn.list  # Pillow's own warning would be a second line


def test_no_pixels_is_no_picture():
    with pytest.raises(ImageError):
        open_rgb(png_header(0, 5) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND"))


def test_files_too_long_are_not_read_to_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_BYTES", 1 << 20)
    endless = open("/dev/zero", "rb") if Path("/dev/zero").exists() else io.BytesIO(bytes(2 << 20))
    with endless, pytest.raises(ImageError, match="expected a file of at most 1 MB; got a larger one"):
        open_rgb(endless)


def scans(count, side):
    """A progressive JPEG that goes over all its pixels again and again."""
    data = saved(Image.new("L", (side, side)), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda\x00")
    return data[:last] + data[last : last + 12] * count + b"\xff\xd9"


def test_too_many_scans():
    with pytest.raises(ImageError, match=r"expected a JPEG of at most 100 scans; got 20\d\d\."):
        open_rgb(scans(2000, 64))


def crafted_headers(num_bytes):
    """Files whose headers alone would keep Pillow busy for minutes."""
    gif = FILES["gif"]
    start = gif.index(b"\x2c", 13 + 3 * (2 << (gif[10] & 7)))
    tail = chunk(b"IDAT", zlib.compress(bytes(25 * 8))) + chunk(b"IEND")
    return {
        "png": png_header(8, 8) + chunk(b"teSt") * (num_bytes // 12) + tail,
        "jpeg": JPEG + b"\xff\xe3\0\2" * (num_bytes // 4) + FILES["jpeg"][2:],
        "gif": gif[:start] + b"\x21\xfe\1a\0" * (num_bytes // 5) + gif[start:],
    }


@pytest.mark.parametrize("kind", ["png", "jpeg", "gif"])
def test_endless_headers_are_given_up(kind, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_SECONDS", 0.02)
    with pytest.raises(ImageError, match=r"\(still not decoded after 0.02 s of computing\)"):
        open_rgb(crafted_headers(1 << 20)[kind])


def crafted_tiff(entries, values=b"", count=1, kind=4):
    """A TIFF of one grey pixel whose directory also has entries of anyone's making, all naming the same bytes."""
    first = 10 + 12 * (entries + 8)
    fields = [(256, 3, 1, 1), (257, 3, 1, 1), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)]
    fields += [(278, 3, 1, 1), (279, 4, 1, 1)] + [(1000 + i, kind, count, first + 4) for i in range(entries)]
    table = b"".join(struct.pack("<HHII", *field) for field in fields)
    return b"II*\0" + struct.pack("<IH", 8, len(fields)) + table + bytes(4) + values


def test_crafted_tables_of_a_tiff_are_refused():
    assert open_rgb(crafted_tiff(1, bytes(64), 16)).size == (1, 1)
    with pytest.raises(ImageError, match=r"\(a TIFF of 40000\d\d values\)"):
        open_rgb(crafted_tiff(1, bytes(16 << 20), 4_000_000))
    with pytest.raises(ImageError, match=r"\(a TIFF of 12000\d\d values\)"):
        open_rgb(crafted_tiff(12, bytes(400_000), 100_000))
    with pytest.raises(ImageError, match=r"the same bytes again and again|cannot identify"):  # would be 400 MB
        open_rgb(crafted_tiff(400, bytes(1 << 20), 1 << 20, kind=7))
    for broken in (b"II*\0", b"II*\0\xff\xff\xff\x7f", b"MM\0*\0\0\0\x08\xff\xff", b"II+\0" + bytes(60)):
        with pytest.raises(ImageError, match="a TIFF (that is cut off|of a rare kind)"):
            open_rgb(broken)


@pytest.mark.parametrize("compression", ["jpeg", "lzma", "zstd"])
def test_rare_compressions_of_a_tiff_are_refused(compression):
    with pytest.raises(ImageError, match=f"a TIFF compressed by .*{compression}.*save it as PNG"):
        open_rgb(saved(picture(), "TIFF", compression=compression))


def test_without_its_package_a_heic_is_refused_with_its_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    formats.cache_clear()
    try:
        assert "HEIF" not in formats() and ".heic" not in uploads.suffixes_read()
        with pytest.raises(ImageError, match=r"Run pip install 'one-shot-parts\[heic\]'\.$"):
            open_rgb(b"\0\0\0\x18ftypheic" + bytes(40))
    finally:
        formats.cache_clear()


def test_no_reason_names_an_object_in_memory():
    with pytest.raises(ImageError) as error:
        open_rgb(b"no picture")
    assert "toolkit." not in str(error.value) and "0x" not in str(error.value)


# ---- time and memory, measured in a process of their own under the system's limits ---------------

MEASURE = """
import json, os, resource, sys
from toolkit.pictures import images, uploads
from toolkit.errors import ToolkitError
for path in sys.argv[1:]:
    if child := os.fork():
        status, usage = os.wait4(child, 0)[1:]
        print(json.dumps({"ended": os.waitstatus_to_exitcode(status), "kilobytes": usage.ru_maxrss}), flush=True)
        continue
    resource.setrlimit(resource.RLIMIT_CPU, (5, 5))
    try:
        image, frame = images.frame_image(path, 64)
        frame.restore(image[0, 0].long() * 0)
    except ToolkitError:
        os._exit(1)
    os._exit(0)
"""


def largest():
    """The most that is let through, of each kind, whose decoders need the most memory."""
    side = 7071
    ramp = Image.linear_gradient("L").resize((side, side))
    exif = Image.Exif()
    exif[0x0112] = 6
    cmyk = Image.merge("CMYK", [ramp] * 4)
    yield "cmyk.jpg", saved(cmyk, "JPEG", progressive=True, exif=exif), 0
    yield "alpha.png", saved(Image.merge("RGBA", [ramp] * 4), "PNG", compress_level=1, exif=exif), 0
    yield "palette.gif", saved(ramp, "GIF"), 0
    small = ramp.resize((5477, 5477))
    yield "alpha.webp", saved(Image.merge("RGBA", [small] * 4), "WEBP", method=0, quality=1), 0
    yield "scans.jpg", scans(80, side), 0
    yield "alpha.tif", saved(Image.merge("RGBA", [ramp] * 4), "TIFF", compression="packbits", exif=exif), 0
    if "AVIF" in formats():
        yield "alpha.avif", saved(Image.merge("RGBA", [small] * 4), "AVIF", speed=10), 0


@pytest.mark.skipif(sys.platform != "linux", reason="limits and measures as Linux gives them")
def test_seconds_and_memory_are_bounded(tmp_path):
    """Every file ends as it should, within 5 s of computing (the system kills it beyond) and 1 GB in all."""
    cases = list(largest())
    cases += [(f"headers.{kind}", crafted_headers(60 << 20)[kind], 1) for kind in ("png", "gif")]
    cases += [(f"bomb-{name}", data, 1) for name, data in BOMBS.items()]
    cases += [("scans-2000.jpg", scans(2000, 7071), 1)]
    for name, data, _ in cases:
        (tmp_path / name).write_bytes(data)
    command = [sys.executable, "-c", MEASURE, *(str(tmp_path / name) for name, _, _ in cases)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=600)
    assert done.returncode == 0, done.stderr
    for (name, _, expected), line in zip(cases, done.stdout.splitlines(), strict=True):
        found = json.loads(line)
        assert found["ended"] == expected, (name, found)
        assert found["kilobytes"] < 1_000_000, (name, found)


@pytest.mark.parametrize("data", [b"hello", b"\x89PNG\r\n\x1a\n" + b"x" * 50, b"BM" + b"x" * 60, b"GIF89a" + b"\0" * 5])
def test_an_error_names_no_object_of_ours(data):
    with pytest.raises(ImageError) as error:
        open_rgb(data)
    assert " object at 0x" not in str(error.value) and "_Patient" not in str(error.value)
