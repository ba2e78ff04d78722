"""Fréchet distance to a folder: nothing to itself, little to its like, much to noise."""

import pytest

from toolkit.errors import ImageError
from toolkit.experiments import frechet, frechet_to_folder
from toolkit.pictures import images


@pytest.fixture(scope="module")
def own_pictures(bundled_gan, tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    for i, image in enumerate(bundled_gan.sample(5, 64, truncation_psi=1.0).image):
        images.save_png(folder / f"{i}.png", images.to_pil(image[None]))
    return folder


def test_a_gan_is_near_its_own_pictures_and_a_random_one_far(bundled_gan, tiny_gan, own_pictures, tmp_path):
    own = frechet_to_folder(bundled_gan, own_pictures, num=2000, out=tmp_path / "sheet.png")
    assert own["num"] == 32  # half the folder: the other half is the floor
    assert own["frechet"] < 2 * own["frechet_photographs"]
    assert (tmp_path / "sheet.png").is_file()
    assert frechet_to_folder(tiny_gan, own_pictures)["frechet"] > 3 * own["frechet"]


def test_a_folder_of_too_few_is_refused(bundled_gan, own_pictures, tmp_path):
    (tmp_path / "0.png").write_bytes((own_pictures / "0.png").read_bytes())
    with pytest.raises(ImageError, match="gan-quality: expected at least 4 photographs; got 1 in"):
        frechet_to_folder(bundled_gan, tmp_path)


def test_photographs_become_square_as_the_gans_own(padded_gan, own_pictures, monkeypatch):
    asked = []
    read = frechet.from_folder
    monkeypatch.setattr(frechet, "from_folder", lambda *given: asked.append(given[-1]) or read(*given))
    for fit in (None, "crop"):
        frechet_to_folder(padded_gan, own_pictures, num=4, fit=fit)
    assert asked == ["pad", "crop"]
