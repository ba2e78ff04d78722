"""Small trees in each data set's own format, written here and read back."""

import unicodedata

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.io import savemat

from toolkit import datasets
from toolkit.datasets.class_names import read_class_names
from toolkit.datasets.reading import cut, split_by_name
from toolkit.errors import ImageError, LabelError, ToolkitError
from toolkit.experiments import evaluate
from toolkit.experiments.sources import Collection
from toolkit.pictures import labels
from toolkit.pictures.images import Frame, pad_box
from toolkit.pictures.labels import PORTRAIT_CLASSES
from toolkit.worlds import portraits


def save_mask(path, size, box):
    """A white box (left, top, right, bottom) on black, as CelebAMask-HQ draws its parts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = np.zeros((size, size), np.uint8)
    mask[box[1] : box[3], box[0] : box[2]] = 255
    Image.fromarray(mask).convert("RGB").save(path)


@pytest.fixture
def celebamask(tmp_path):
    """Pictures 0, 2001 and 28,000 at 64 pixels, masks at 32."""
    for number in (0, 2001, 28_000):
        masks = tmp_path / "CelebAMask-HQ-mask-anno" / str(number // 2000)
        save_mask(masks / f"{number:05d}_skin.png", 32, (8, 4, 24, 28))
        save_mask(masks / f"{number:05d}_l_eye.png", 32, (10, 10, 14, 12))
        save_mask(masks / f"{number:05d}_r_eye.png", 32, (18, 10, 22, 12))
        save_mask(masks / f"{number:05d}_u_lip.png", 32, (12, 20, 20, 22))
        save_mask(masks / f"{number:05d}_l_lip.png", 32, (12, 22, 20, 24))
        save_mask(masks / f"{number:05d}_hat.png", 32, (0, 0, 32, 2))
        save_mask(masks / f"{number:05d}_eye_g.png", 32, (8, 8, 24, 14))
        save_mask(masks / f"{number:05d}_hair.png", 32, (0, 0, 32, 6))
        (tmp_path / "CelebA-HQ-img").mkdir(exist_ok=True)
        Image.new("RGB", (64, 64), (number % 200, 50, 60)).save(tmp_path / "CelebA-HQ-img" / f"{number}.jpg")
    return tmp_path


def test_celebamask_merges_parts_and_later_ones_cover(celebamask):
    data = datasets.open_dataset(celebamask)
    assert isinstance(data, datasets.CelebAMask) and data.classes == PORTRAIT_CLASSES
    assert (data.split("train"), data.split("test")) == ([0, 2001], [28_000])
    image, label_map = data.read([2001, 0], 32)
    assert image.shape == (2, 3, 32, 32) and label_map.shape == (2, 32, 32) and label_map.dtype == torch.int64
    assert image[0, 0, 0, 0] == pytest.approx(2001 % 200 / 127.5 - 1, abs=0.03)  # in the order that was asked for
    at = {name: label_map[1] == i for i, name in enumerate(PORTRAIT_CLASSES)}
    assert at["eyes"][10:12, 10:14].all() and at["eyes"][10:12, 18:22].all() and at["eyes"].sum() == 16
    assert at["mouth"][20:24, 12:20].all() and at["mouth"].sum() == 32  # both lips, one mouth
    assert at["hair"][:6].all() and at["hair"].sum() == 6 * 32  # over the skin; the hat is no class
    assert at["face"][8:10, 8:24].all()  # glasses leave what they cover
    assert not at["nose"].any() and not at["clothes"].any()  # no file: absent
    assert data.read([0], 16)[1].shape == (1, 16, 16)


def test_celebamask_says_what_is_missing(tmp_path, celebamask):
    (celebamask / "CelebAMask-HQ-mask-anno").rename(tmp_path / "elsewhere")
    with pytest.raises(
        ToolkitError,
        match=r"CelebAMask: expected .*; got no CelebAMask-HQ-mask-anno \(part masks\). "
        r"CelebAMask-HQ.zip comes from .*switchablenorms",
    ):
        datasets.CelebAMask(celebamask)
    (tmp_path / "elsewhere").rename(celebamask / "CelebAMask-HQ-mask-anno")
    data = datasets.CelebAMask(celebamask)
    for file in (celebamask / "CelebAMask-HQ-mask-anno" / "1").iterdir():
        file.unlink()
    with pytest.raises(ToolkitError, match=r"CelebAMask.read: expected masks 02001_\*.png in .*; got none"):
        data.read([2001], 16)
    with pytest.raises(ToolkitError, match="CelebAMask.read: expected at least one picture; got none"):
        data.read([], 16)
    with pytest.raises(ToolkitError, match=r"open_dataset: expected a folder with CelebA-HQ-img/ .* or images/"):
        datasets.open_dataset(tmp_path / "nowhere")


def test_celebamask_whatever_the_files_are_called(celebamask):
    plain = datasets.CelebAMask(celebamask).read([0], 32)
    pictures, masks = celebamask / "CelebA-HQ-img", celebamask / "CelebAMask-HQ-mask-anno" / "0"
    (pictures / "0.jpg").rename(pictures / "00000.JPG")
    for file in masks.iterdir():
        file.rename(file.with_suffix(".PNG"))
    (pictures / "Thumbs.db").write_bytes(b"")
    data = datasets.CelebAMask(celebamask)
    assert data.split("train") == [0, 2001] and torch.equal(data.read([0], 32)[1], plain[1])
    Image.new("L", (32, 32), 1).save(masks / "00000_skin.PNG")
    with pytest.raises(ImageError, match="black 0 and white 255 in 00000_skin.PNG; got values up to 1. Multiply"):
        data.read([0], 32)
    Image.new("L", (16, 32), 255).save(masks / "00000_skin.PNG")
    with pytest.raises(ImageError, match="masks of one size for picture 0; got 16x32 and 32x32"):
        data.read([0], 32)
    Image.new("RGB", (64, 64)).save(pictures / "0.png")
    with pytest.raises(ToolkitError, match="one photograph 0; got 0.png, 00000.JPG"):
        datasets.CelebAMask(celebamask)


def write_annotation(folder, name, size, objects):
    """A PASCAL-Parts .mat and its photograph; objects are (class, mask, {part: mask}) of (H, W) uint8."""
    (folder / "Annotations_Part").mkdir(exist_ok=True)
    (folder / "JPEGImages").mkdir(exist_ok=True)
    things = []
    for kind, mask, parts in objects:
        found = np.zeros((1, len(parts)), dtype=[("part_name", object), ("mask", object)])
        for i, (part, where) in enumerate(parts.items()):
            found[0, i] = (part, where)
        things.append((kind, 1, mask, found if parts else np.zeros((0, 0))))
    listed = np.zeros((1, len(things)), dtype=[(field, object) for field in ("class", "class_ind", "mask", "parts")])
    for i, thing in enumerate(things):
        listed[0, i] = thing
    anno = np.zeros((1, 1), dtype=[("imname", object), ("objects", object)])
    anno[0, 0] = (name, listed)
    savemat(folder / "Annotations_Part" / f"{name}.mat", {"anno": anno})
    Image.new("RGB", size, (90, 120, 150)).save(folder / "JPEGImages" / f"{name}.jpg")


def box_mask(size, left, top, right, bottom):
    mask = np.zeros(size[::-1], np.uint8)
    mask[top:bottom, left:right] = 1
    return mask


@pytest.fixture
def pascal(tmp_path):
    size = (200, 120)
    car = (
        "car",
        box_mask(size, 20, 40, 120, 90),
        {
            "wheel_1": box_mask(size, 30, 80, 45, 90),
            "wheel_2": box_mask(size, 95, 80, 110, 90),
            "window_3": box_mask(size, 50, 45, 90, 60),
            "fliplate": box_mask(size, 20, 70, 30, 75),
            "headlight_1": box_mask(size, 20, 60, 30, 66),
            "frontside": box_mask(size, 20, 40, 40, 90),
        },
    )
    far = ("car", box_mask(size, 150, 10, 170, 20), {})
    horse = (
        "horse",
        box_mask(size, 60, 0, 160, 120),
        {
            "head": box_mask(size, 60, 0, 80, 30),
            "lear": box_mask(size, 60, 0, 65, 5),
            "neck": box_mask(size, 80, 20, 90, 50),
            "torso": box_mask(size, 90, 40, 150, 80),
            "lfuleg": box_mask(size, 90, 80, 95, 110),
            "lfho": box_mask(size, 90, 110, 95, 120),
            "tail": box_mask(size, 150, 40, 160, 80),
        },
    )
    for i in range(12):  # of so many names both halves of the split get some
        write_annotation(tmp_path, f"2008_{i:06d}", size, [horse, car, far])
    return tmp_path


def test_pascal_cars(pascal):
    data = datasets.PascalParts(pascal, "car")
    assert data.classes == ("background", "body", "plate", "light", "wheel", "window")
    train, test = data.split("train"), data.split("test")
    assert len(train) + len(test) == 12 and train and test  # one car each: the far one is too small
    image, label_map = data.read(train[:2], 100)  # the square is 100 pixels: 20..120, 15..115
    assert image.shape == (2, 3, 100, 100) and label_map.shape == (2, 100, 100)
    cut = label_map[0]
    expect = torch.zeros(100, 100, dtype=torch.int64)
    expect[25:75] = 1
    expect[65:75, 10:25] = expect[65:75, 75:90] = 4
    expect[30:45, 30:70], expect[55:60, :10], expect[45:51, :10] = 5, 2, 3
    assert torch.equal(cut, expect)


def test_pascal_horses_merge_and_know_nothing_beyond_the_photograph(pascal):
    data = datasets.PascalParts(pascal, "horse")
    assert data.classes == ("background", "head", "neck+torso", "legs", "tail")
    _, label_map = data.read(data.split("train")[:1], 120)  # the square is 50..170, 0..120
    cut = label_map[0]
    assert (cut[:30, 10:30] == 1).all() and (cut[20:50, 30:40] == 2).all() and (cut[40:80, 40:100] == 2).all()
    assert (cut[80:120, 40:45] == 3).all() and (cut[40:80, 100:110] == 4).all()
    assert (cut[90:, 60:80] == 255).all() and (cut[:, :10] == 0).all()  # the horse's, of no part; not the horse


def test_pascal_reads_the_list_of_pascal_voc_and_says_what_is_missing(pascal):
    (pascal / "ImageSets" / "Main").mkdir(parents=True)
    (pascal / "ImageSets" / "Main" / "car_trainval.txt").write_text("2008_000000  1\n2008_000001 -1\n2008_000002  0\n")
    data = datasets.PascalParts(pascal, "car")
    assert sorted(data.split("train") + data.split("test")) == ["2008_000000-0", "2008_000002-0"]
    (pascal / "Annotations_Part" / "2008_000000.mat").write_bytes(b"not an annotation")
    with pytest.raises(ImageError, match=r"PascalParts: expected a PASCAL-Parts annotation; got .*2008_000000.mat"):
        datasets.PascalParts(pascal, "car")
    photograph = pascal / "JPEGImages" / "2008_000002.jpg"
    Image.open(photograph).resize((100, 60)).save(photograph)
    with pytest.raises(ImageError, match="2008_000002.jpg of 200x120 pixels, as it was annotated; got 100x60"):
        data.read(["2008_000002-0"], 16)
    with pytest.raises(ToolkitError, match="PascalParts: expected kind car or horse; got 'cow'"):
        datasets.PascalParts(pascal, "cow")
    (pascal / "JPEGImages").rename(pascal / "pictures")
    with pytest.raises(ToolkitError, match=r"got no JPEGImages \(photographs\). Get trainval.tar.gz"):
        datasets.PascalParts(pascal, "car")
    (pascal / "Annotations_Part").rename(pascal / "parts")
    with pytest.raises(ToolkitError, match=r"got no Annotations_Part \(part masks\)"):
        datasets.PascalParts(pascal, "car")


@pytest.fixture
def own(tmp_path):
    """Twenty pictures of 40x30, the right half of each a part, a column unlabelled."""
    folder = tmp_path / "leaves"
    (folder / "images").mkdir(parents=True)
    (folder / "classes.txt").write_text("background\nleaf\n", "utf-8")
    for i in range(20):
        Image.new("RGB", (40, 30), (10 * i, 60, 70)).save(folder / "images" / f"{i:02d}.png")
        label_map = torch.zeros(30, 40, dtype=torch.int64)
        label_map[:, 20:], label_map[:, 19] = 1, 255
        labels.save_label_png(folder / "masks" / f"{i:02d}.png", label_map, labels.default_palette(2))
    return folder


def test_own_folder(own):
    data = datasets.open_dataset(own)
    assert isinstance(data, datasets.OwnFolder) and (data.name, data.classes) == ("leaves", ("background", "leaf"))
    train, test = data.split("train"), data.split("test")
    assert sorted(train + test) == [f"{i:02d}" for i in range(20)] and len(test) in range(1, 10)
    image, label_map = data.read(["03", "11"], 30)  # the square is 5..35
    assert image[:, 0, 0, 0].tolist() == pytest.approx([30 / 127.5 - 1, 110 / 127.5 - 1])
    row = torch.tensor([0] * 14 + [255] + [1] * 15)
    assert torch.equal(label_map, row.expand(2, 30, 30))


def test_a_file_may_say_which_pictures_are_for_scoring(own):
    (own / "test.txt").write_text("03\n\n 11 \n", "utf-16")
    data = datasets.OwnFolder(own)
    assert data.split("test") == ["03", "11"] and len(data.split("train")) == 18
    assert not set(data.split("train")) & {"03", "11"}
    for room in ("images", "masks"):
        (own / room / "03.png").rename(own / room / "fe\u0301.png")
    (own / "test.txt").write_text("f\u00e9\n", "utf-8")
    assert datasets.OwnFolder(own).split("test") == ["f\u00e9"]
    (own / "test.txt").write_text("04\n11.png\n", "utf-8")
    with pytest.raises(ToolkitError, match=r"OwnFolder: expected names of pictures .* got 11.png. Mend these lines"):
        datasets.OwnFolder(own)


def test_padding_keeps_every_label_and_invents_none(own):
    data = datasets.open_dataset(own, "pad")
    image, label_map = data.read(["03", "11"], 40)
    assert torch.equal(image, image[:, :, :1, :1].expand(2, 3, 40, 40))  # of one colour, also beyond its edges
    row = torch.tensor([0] * 19 + [255] + [1] * 20)
    assert torch.equal(label_map[:, 5:35], row.expand(2, 30, 40)) and (label_map[:, :5] == 255).all()
    assert (label_map[:, 35:] == 255).all()
    frame = Frame(pad_box(Image.new("RGB", (40, 30))), (40, 30))
    assert torch.equal(frame.restore(label_map[0]), row.expand(30, 40))  # and back in the picture's own pixels
    with pytest.raises(ToolkitError, match="OwnFolder: expected fit to be crop or pad; got 'stretch'"):
        datasets.open_dataset(own, "stretch")


@pytest.mark.parametrize(
    ("break_it", "error", "message"),
    [
        (lambda f: (f / "classes.txt").unlink(), ToolkitError, r"got no classes.txt \(a class a line\). Your own"),
        (
            lambda f: (f / "classes.txt").write_text("background\n"),
            ToolkitError,
            "expected 2 to 255 names in .*; got 1",
        ),
        (lambda f: (f / "images" / "03.png").unlink(), ToolkitError, "a picture .* for each mask; got none for 03"),
        (lambda f: Image.new("L", (9, 9)).save(f / "masks" / "03.png"), LabelError, "mask 03.png of 40x30 .*; got 9x9"),
        (
            lambda f: Image.new("L", (40, 30), 7).save(f / "masks" / "03.png"),
            LabelError,
            r"values 0..1 or 255 in mask 03.png; got 7. Name it in classes.txt",
        ),
        (
            lambda f: Image.new("L", (30, 40)).save(f / "masks" / "03.png"),
            LabelError,
            "got 30x40. Turn it upright, as the picture is shown",
        ),
        (
            lambda f: Image.new("L", (40, 31)).save(f / "masks" / "03.png"),
            LabelError,
            "03.png of 40x30 pixels, or of that shape; got 40x31",
        ),
        (
            lambda f: Image.linear_gradient("L").resize((40, 30)).save(f / "masks" / "03.png"),
            LabelError,
            "values 0..1 or 255 in mask 03.png; got .* and [0-9]+ others. Save class numbers, without soft edges",
        ),
        (
            lambda f: Image.new("RGB", (4, 4)).save(f / "images" / "03.JPG"),
            ToolkitError,
            "one picture for mask 03.png; got 03.JPG, 03.png. Keep one",
        ),
        (
            lambda f: Image.new("L", (4, 4)).save(f / "masks" / "03.PNG"),
            ToolkitError,
            "one mask 03; got 03.PNG, 03.png. Keep one",
        ),
        (
            lambda f: (f / "masks" / "03.png").rename(f / "masks" / "03.jpg"),
            ToolkitError,
            "OwnFolder: expected PNG masks; got .*03.jpg. Save it as PNG; a JPEG smears labels",
        ),
        (
            lambda f: (f / "images" / "03.png").rename(f / "images" / "03.HEIC").write_bytes(b"ftypheic"),
            ImageError,
            r"OwnFolder.read: expected a readable picture \(JPEG, .*\); got .*03.HEIC",
        ),
    ],
)
def test_own_folder_says_what_is_wrong(own, break_it, error, message):
    break_it(own)
    with pytest.raises(error, match=message):
        datasets.OwnFolder(own).read(["03"], 16)


def test_own_folder_reads_all_that_is_there_whatever_lies_beside(own):
    plain = datasets.OwnFolder(own).read(["03", "11"], 30)
    for stray in ("Thumbs.db", "03.json", "notes.txt", ".DS_Store", "._03.png", ".ipynb_checkpoints/03.png"):
        for part in ("images", "masks"):
            (own / part / stray).parent.mkdir(exist_ok=True)
            (own / part / stray).write_bytes(b"stray")
    Image.new("RGB", (40, 30)).save(own / "masks" / "03.jpg")  # a preview of the mask
    (own / "images" / "11.png").rename(own / "images" / "11.PNG")
    (own / "masks" / "11.png").rename(own / "masks" / "11.PNG")
    for part in ("images", "masks"):  # in a folder of its own, with a name as macOS writes it in one of the two
        (own / part / "more").mkdir()
        name = unicodedata.normalize("NFD" if part == "masks" else "NFC", "é.png")
        (own / part / "03.png").rename(own / part / "more" / name)
    (own / "masks" / "03.jpg").unlink()
    data = datasets.OwnFolder(own)
    assert len(data.split("train") + data.split("test")) == 20
    for one, other in zip(plain, data.read(["more/é", "11"], 30), strict=True):
        assert torch.equal(one, other)
    (own / "masks" / "11.PNG").unlink()
    with pytest.warns(UserWarning, match="1 of 20 pictures of leaves have no mask and are left out: 11"):
        assert len(datasets.OwnFolder(own).split("train") + datasets.OwnFolder(own).split("test")) == 19
    with pytest.raises(ToolkitError, match="OwnFolder.read: expected at least one picture; got none"):
        data.read([], 16)


def test_own_folder_reads_pictures_of_several_sizes_and_masks_of_others(own):
    Image.new("RGB", (80, 60), (200, 60, 70)).save(own / "images" / "03.png")  # twice the mask's
    Image.new("RGB", (13, 10), (200, 60, 70)).save(own / "images" / "04.png")  # a third, rounded to whole pixels
    data = datasets.OwnFolder(own)
    image, label_map = data.read(["03", "11"], 30)
    assert image.shape == (2, 3, 30, 30) and torch.equal(label_map[0], label_map[1])
    assert data.read(["04"], 10)[1][0, :, 5:].eq(1).all()


def test_own_folder_tells_classes_by_their_colours(own):
    (own / "classes.txt").write_text("background #0a0A0a\nold leaf #00AA00\n")
    pixels = np.zeros((30, 40, 3), np.uint8) + np.uint8(10)
    pixels[:, 20:], pixels[:, 19] = (0, 170, 0), labels.UNLABELLED_COLOR
    expect = torch.tensor([0] * 14 + [255] + [1] * 15).expand(30, 30)
    for mode in ("RGB", "RGBA", "P"):
        picture = Image.fromarray(pixels).quantize(3) if mode == "P" else Image.fromarray(pixels).convert(mode)
        picture.save(own / "masks" / "03.png")
        data = datasets.OwnFolder(own)
        assert data.classes == ("background", "old leaf")
        assert torch.equal(data.read(["03"], 30)[1][0], expect)
    pixels[0, 0] = (5, 90, 5)  # a soft edge
    Image.fromarray(pixels).save(own / "masks" / "03.png")
    with pytest.raises(
        LabelError, match="no colours but those of the 2 classes; got 1 others, such as #055A05, in .*03"
    ):
        data.read(["03"], 30)
    (own / "classes.txt").write_text("background\nleaf\n")
    with pytest.raises(
        ImageError, match=r"got colours \(mode 'RGB'\) in .*03.png. Save class numbers, .* which colour"
    ):
        datasets.OwnFolder(own).read(["03"], 30)


def test_own_folder_refuses_indexed_masks_that_number_colours_each_in_its_own_way(own):
    drawn = Image.open(own / "masks" / "03.png").convert("RGB")
    drawn.quantize(3).save(own / "masks" / "03.png")  # the same to look at; its values are another matter
    data = datasets.OwnFolder(own)
    with pytest.raises(
        LabelError, match=r"one colour for value \d in all .*; got #\w+ in 11.png and #\w+ in 03.png. Save"
    ):
        data.read(["11", "03"], 30)


NAMES = ("arrière-plan", "œil", "l’aile"), ("background", "翼", "eye 👁")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_class_names_in_any_common_encoding(tmp_path, names, encoding, newline):
    file = tmp_path / "classes.txt"
    file.write_bytes((newline.join(names) + 2 * newline).encode(encoding))
    assert read_class_names(file, "OwnFolder") == (names, None)


def test_class_names_in_cp1252_but_no_other_code_page(tmp_path):
    file = tmp_path / "classes.txt"
    file.write_bytes("\r\n".join(NAMES[0]).encode("cp1252"))
    assert read_class_names(file, "OwnFolder")[0] == NAMES[0]
    for encoding in ("gbk", "shift-jis"):
        file.write_bytes("背景\n翼\n目".encode(encoding))
        with pytest.raises(
            LabelError, match="OwnFolder: expected .*classes.txt in UTF-8; got another encoding. Save it"
        ):
            read_class_names(file, "OwnFolder")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("background\n\nleaf\n", "a name for each value in .*; got an empty one, line 2, before 'leaf'"),
        ("background\nleaf\nleaf\n", "different names in .*; got 'leaf' twice"),
        ("background #000000\nleaf\n", "a colour for each class in .*, or for none; got none for 'leaf'"),
        ("background #00aa00\nleaf #00AA00\n", "different colours in .*; got '00aa00' twice"),
        ("\n".join(map(str, range(256))), "2 to 255 names in .*; got 256"),
    ],
)
def test_class_names_that_do_not_fit_are_refused(tmp_path, text, message):
    (tmp_path / "classes.txt").write_text(text)
    with pytest.raises(LabelError, match=f"OwnFolder: expected {message}"):
        read_class_names(tmp_path / "classes.txt", "OwnFolder")


def test_the_split_of_a_picture_does_not_depend_on_the_others():
    many = split_by_name([f"p{i}" for i in range(500)])
    few = split_by_name([f"p{i}" for i in range(0, 500, 7)])
    assert set(few["test"]) <= set(many["test"]) and set(few["train"]) <= set(many["train"])
    assert 60 < len(many["test"]) < 140 and not set(many["test"]) & set(many["train"])


def test_cut_keeps_small_parts_in_proportion_and_marks_the_outside():
    label_map = np.zeros((40, 40), np.uint8)
    label_map[:, 20:23] = 1  # covers three of four columns
    picture = Image.new("RGB", (40, 40))
    image, found = cut(picture, label_map, (-20, 0, 40, 60), 2, 15)
    assert image.shape == (1, 3, 15, 15)
    assert (found[0, :, :5] == 255).all() and (found[0, 10:] == 255).all()
    assert (found[0, :10, 10] == 1).all() and (found[0, :10, 11:] == 0).all() and (found[0, :10, 5:10] == 0).all()


def overlaps(label_map, box, resolution):
    """How much of each pixel each label covers, counted in whole numbers: (256, R, R)."""
    (height, width), (left, top, right, bottom), r = label_map.shape, box, resolution
    shares = np.zeros((256, r, r), int)
    for i, j in np.ndindex(r, r):  # an edge of the new pixels is at top + i * (bottom - top) / r: r-ths of the old ones
        for y, x in np.ndindex(bottom - top, right - left):
            down = min((i + 1) * (bottom - top), (y + 1) * r) - max(i * (bottom - top), y * r)
            across = min((j + 1) * (right - left), (x + 1) * r) - max(j * (right - left), x * r)
            if down > 0 and across > 0:
                inside = 0 <= top + y < height and 0 <= left + x < width
                shares[label_map[top + y, left + x] if inside else 255, i, j] += down * across
    return shares


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_cut_takes_the_label_that_covers_most_of_each_pixel(data):
    height, width, resolution = (data.draw(st.integers(1, 9)) for _ in range(3))
    left, top = (data.draw(st.integers(-2, size - 1)) for size in (width, height))
    right, bottom = (start + data.draw(st.integers(max(1, 1 - start), 9)) for start in (left, top))
    values = st.lists(st.sampled_from([0, 0, 1, 2, 255]), min_size=height * width, max_size=height * width)
    label_map = np.array(data.draw(values), np.uint8).reshape(height, width)
    box = (left, top, right, bottom)
    try:
        found = cut(Image.new("RGB", (width, height)), label_map, box, 3, resolution)[1][0].numpy()
    except ImageError:  # the box shows less than a pixel of the picture
        assume(False)
    shares, counts = overlaps(label_map, box, resolution), np.bincount(label_map.ravel(), minlength=256)
    for i, j in np.ndindex(resolution, resolution):
        best = np.flatnonzero(shares[:, i, j] == shares[:, i, j].max()).tolist()
        parts = sorted((counts[part], part) for part in best if part not in (0, 255))
        assert found[i, j] == (parts[0][1] if parts else best[0])


def test_a_column_of_part_stays_and_ties_are_its_own():
    picture, label_map = Image.new("RGB", (4, 4)), np.zeros((4, 4), np.uint8)
    label_map[:, 0] = 1
    assert cut(picture, label_map, (0, 0, 4, 4), 2, 3)[1][0].tolist() == [[1, 0, 0]] * 3
    assert cut(picture, label_map, (0, 0, 4, 4), 2, 2)[1][0].tolist() == [[1, 0]] * 2
    label_map[:, 1] = 2  # half of each pixel, as much as part 1, which has as many pixels in all
    label_map[0, 3] = 1
    assert cut(picture, label_map, (0, 0, 4, 4), 3, 2)[1][0].tolist() == [[2, 0], [2, 0]]


def test_a_perfect_answer_is_perfect_at_another_size():
    label_map = portraits.render(2, 100, 900_000)[1].numpy().astype(np.uint8)
    steps = [(i * 100, (i + 1) * 100) for i in range(64)]
    cover = np.array(
        [[max(0, min(end, 64 * (y + 1)) - max(start, 64 * y)) for y in range(100)] for start, end in steps]
    )
    for one in label_map:
        shares = np.stack([cover @ (one == part) @ cover.T for part in range(10)])
        found = cut(Image.new("RGB", (100, 100)), one, (0, 0, 100, 100), 10, 64)[1][0].numpy()
        assert (np.take_along_axis(shares, found[None], 0)[0] == shares.max(0)).all()


def test_labels_in_other_pixels_than_the_picture():
    label_map = np.array([[0, 1], [255, 0]], np.uint8)
    found = cut(Image.new("RGB", (40, 20)), label_map, (20, 0, 40, 20), 2, 2)[1][0]
    assert found.tolist() == [[1, 1], [0, 0]]
    with pytest.raises(LabelError, match="cut: expected labels 0..1, or 255 for unlabelled; got value 2"):
        cut(Image.new("RGB", (4, 4)), np.full((4, 4), 2, np.uint8), (0, 0, 4, 4), 2, 2)


def test_experiments_take_a_data_set(own, tiny_gan):
    source = Collection(datasets.open_dataset(own))
    assert source.class_sets == {2: ("background", "leaf")}
    report = evaluate(
        tiny_gan, source=source, num_classes=2, num_shots=2, num_test=3, num_steps=1, network="linear", cache=None
    )
    assert report["world"] == "leaves" and set(report["per_class"]) == {"background", "leaf"}
    a, b = (source.shots(seed, 5, 16)[0] for seed in (0, 1))
    assert not torch.equal(a, b) and torch.equal(a, source.shots(0, 5, 16)[0])
    test = source.test(100, 16)[0]
    assert len(test) == len(source.dataset.split("test")) and not (test[:, None] == a[None]).flatten(2).all(2).any()
    with pytest.raises(ToolkitError, match="evaluate: expected at most .* pictures to learn from in leaves; got 50"):
        source.shots(0, 50, 16)
