"""Pictures of one folder are found in another, however they were cut, and no others are."""

import pytest
from PIL import Image

from toolkit.errors import ToolkitError
from toolkit.experiments import overlap
from toolkit.pictures import images
from toolkit.worlds import portraits


@pytest.fixture(scope="module")
def portraits_whole():
    """Sixteen portraits."""
    return [Image.fromarray(picture) for picture in images.to_uint8(portraits.render(16, 128, 0)[0])]


@pytest.fixture
def folders(portraits_whole, tmp_path):
    """Four of them cut to the middle, and twelve to look among."""
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    for i, picture in enumerate(portraits_whole):
        images.save_png((mine if i < 4 else theirs) / f"{i}.png", picture.crop((10, 10, 118, 118)))
    return portraits_whole, mine, theirs


def test_other_pictures_are_not_found(folders):
    _, mine, theirs = folders
    assert overlap(mine, theirs) == {"pictures": 4, "others": 12, "found": []}


@pytest.mark.parametrize("box", [(10, 10, 118, 118), (18, 6, 126, 114), (6, 10, 123, 127), (15, 14, 113, 112)])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_picture_is_found_cut_otherwise_in_another_size_and_mirrored(folders, box, mirrored):
    whole, mine, theirs = folders
    again = whole[3].crop(box).resize((90, 90))
    again = again.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else again
    images.save_png(theirs / "deep" / "again.png", again)
    (pair,) = overlap(mine, theirs)["found"]
    assert (pair["picture"], pair["other"]) == ("3.png", "again.png") and 0.87 <= pair["alike"] <= 1


def test_an_empty_folder_is_refused(folders, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ToolkitError, match="overlap: expected a folder with pictures; got .*empty"):
        overlap(folders[1], tmp_path / "empty")
