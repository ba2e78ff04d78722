"""The page in a real browser, driven by mouse, from a server in its own process."""

import io
import re
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
from page import CHROMIUM, ROOT, Visitor, launch, server
from PIL import Image
from safetensors import safe_open

from toolkit import fewshot, images, labels
from toolkit.worlds import portraits

pytestmark = pytest.mark.slow  # a real browser, minutes long

if CHROMIUM is None:
    pytest.skip("no browser is installed: apt-get install chromium", allow_module_level=True)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The page as it would lie in a Space: demos/ at the top, toolkit/ and weights/ beside it."""
    space = tmp_path_factory.mktemp("space")
    shutil.copytree(ROOT / "demos", space, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "*.png"))
    for name in ("toolkit", "weights"):
        shutil.copytree(ROOT / name, space / name, ignore=shutil.ignore_patterns("__pycache__"))
    with server(app=space / "app.py", PYTHONSAFEPATH="") as (address, _):
        yield address


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as p:
        browser = launch(p)
        yield browser
        browser.close()


@pytest.fixture
def visitor(browser, address):
    visitor = Visitor(browser, address, viewport={"width": 1280, "height": 900})
    yield visitor
    strangers = visitor.strangers()
    visitor.close()
    assert strangers == []


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """A JPEG that is not square, and lies on its side for a reader that does not know EXIF."""
    face = images.to_pil(portraits.render(1, 128, 800_200)[0])
    wide = Image.new("RGB", (200, 128), (120, 130, 140))
    wide.paste(face, (36, 0))
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path_factory.mktemp("photo") / "photo.jpg"
    wide.rotate(90, expand=True).save(path, quality=95, exif=exif)
    return path


def upload(visitor, path):
    visitor.page.locator("#pictures input[type=file]").first.set_input_files(path)
    visitor.page.wait_for_selector("#pictures img")
    visitor.page.wait_for_timeout(500)


@pytest.mark.parametrize("ratio", [1, 2])
def test_from_a_drawing_to_a_picture_of_ones_own(browser, address, photo, tmp_path, ratio):
    """Steps 1 to 3: three clicks besides the drawing to the first gallery, at either kind of screen."""
    visitor = Visitor(browser, address, viewport={"width": 1280, "height": 900}, device_scale_factor=ratio)
    visitor.draw_face()
    visitor.teach()
    first = visitor.pictures("#gallery")
    assert len(first) == 8
    assert len(visitor.pictures("#shots")) == 1
    visitor.click("#more")
    visitor.page.wait_for_function("old => document.querySelector('#gallery img').src != old", arg=first[0])
    assert not set(first) & set(visitor.pictures("#gallery"))

    shots = fewshot.load_shots(visitor.download("#shots-download", tmp_path / "shots.safetensors"))
    assert [shot.classes for shot in shots] == [labels.THREE_CLASSES]
    drawn = shots[0].label_map[0]
    assert set(drawn.unique().tolist()) == {0, 1, 2, 3}
    for x, y, part in [(25, 28, 1), (39, 28, 1), (32, 42, 2), (32, 33, 3), (5, 5, 0)]:
        assert drawn[y, x] == part, (x, y)

    upload(visitor, photo)
    visitor.click("#segment-button")
    visitor.page.wait_for_selector("#redrawn img")  # the picture forms while the bar still moves
    visitor.page.wait_for_selector("#segment-status progress")
    visitor.page.wait_for_selector("#segment-status >> text=Done.")
    picture = Image.open(visitor.download("#download-png", tmp_path / "labels.png"))
    assert picture.mode == "P" and picture.size == (200, 128)
    assert np.array_equal(np.array(picture.getpalette()).reshape(-1, 3)[:4], labels.default_palette(4))
    found = set(np.unique(np.array(picture)).tolist())
    assert {0, 255} <= found <= {0, 1, 2, 3, 255} and len(found) > 2
    for selector in ("#download-overlay", "#download-json", "#download-coco"):
        assert visitor.download(selector, tmp_path / "file").stat().st_size > 100
    assert "background" in visitor.page.locator("#areas").inner_text()
    assert visitor.strangers() == []
    visitor.close()


def test_a_projection_can_be_cancelled(visitor, photo):
    visitor.draw_face()
    visitor.teach()
    upload(visitor, photo)
    visitor.click("#segment-button")
    visitor.page.wait_for_selector("#segment-status progress")
    visitor.click("#segment-cancel")
    visitor.page.wait_for_selector("#segment-status >> text=Cancelled.")
    visitor.page.wait_for_timeout(3000)
    assert "Cancelled" in visitor.page.locator("#segment-status").inner_text()
    visitor.teach()  # the queue is free again


def test_the_next_face_to_label_and_a_second_shot(visitor):
    visitor.draw_face()
    visitor.teach()
    visitor.click("#suggest")
    visitor.page.wait_for_selector("#suggestion img >> nth=1")
    visitor.click("#take")
    visitor.page.wait_for_selector("#suggestion", state="hidden")
    visitor.page.wait_for_timeout(2500)
    visitor.choose(1)
    visitor.stroke((185, 225), (225, 225))
    visitor.teach()
    assert "2 shots" in visitor.page.locator("#teach-status").inner_text()
    assert len(visitor.pictures("#shots")) == 2


def test_an_example_teaches_at_a_click(visitor):
    visitor.page.get_by_role("tab", name="Example").click()
    visitor.page.locator("#shot-examples .thumbnail-item").first.click()
    visitor.page.wait_for_selector("#label-status progress")
    visitor.page.wait_for_selector("#label-status progress", state="hidden")
    visitor.page.wait_for_timeout(2500)
    visitor.teach()
    assert len(visitor.pictures("#gallery")) == 8


def test_classes_are_added_renamed_and_removed(visitor):
    def named():
        return [chip.rstrip("0123456789").strip() for chip in visitor.page.locator("#legend .chip").all_inner_texts()]

    visitor.click("#classes button")
    visitor.page.locator("#class-name input, #class-name textarea").first.fill("hat")
    visitor.click("#class-add")
    visitor.page.wait_for_selector("#legend >> text=hat")
    assert named() == ["background", "eyes", "mouth", "nose", "hat"]
    visitor.click("#class-which input")
    visitor.page.get_by_role("option", name="mouth").click()
    visitor.click("#class-remove")
    visitor.page.wait_for_selector("#legend >> text=mouth", state="detached")
    assert named() == ["background", "eyes", "nose", "hat"]
    visitor.page.get_by_label("10 parts").click()
    visitor.page.wait_for_selector("#legend >> text=eyebrows")
    assert named() == list(labels.PORTRAIT_CLASSES)


def test_two_tabs_do_not_see_each_others_shots(browser, address, visitor):
    other = Visitor(browser, address)
    visitor.draw_face()
    visitor.click("#add")
    visitor.page.wait_for_selector("#shots img")
    other.click("#add")
    assert "expected a drawing" in other.toast()
    assert other.pictures("#shots") == [] and len(visitor.pictures("#shots")) == 1
    other.close()


def test_bad_uploads_are_one_line_and_the_shots_stay(visitor, tmp_path):
    visitor.draw_face()
    visitor.click("#add")
    visitor.page.wait_for_selector("#shots img")
    program, broken, huge = tmp_path / "program.png", tmp_path / "broken.png", tmp_path / "huge.png"
    program.write_bytes(b"MZ\x90\x00" + bytes(range(256)) * 40)
    whole = io.BytesIO()
    images.to_pil(portraits.render(1, 64, 800_201)[0]).save(whole, "PNG")
    broken.write_bytes(whole.getvalue()[:2000])
    huge.write_bytes(whole.getvalue() + bytes(50 << 20))
    visitor.page.get_by_role("tab", name="Your picture").click()
    field = visitor.page.locator("#shot-picture input[type=file]")
    for path, words in [(program, "expected a readable picture"), (broken, "expected a readable picture"),
                        (huge, "size")]:  # fmt: skip
        field.first.set_input_files(path)
        text = visitor.toast()
        assert words in text and "Traceback" not in text, text
        remove = visitor.page.locator('#shot-picture button[aria-label="Clear"], #shot-picture button[title="Remove"]')
        if remove.count():
            remove.first.click()
    assert len(visitor.pictures("#shots")) == 1
    visitor.teach()


def test_autoshot_trains_stops_and_answers(visitor, photo, tmp_path):
    visitor.page.locator("#auto-picture input[type=file]").first.set_input_files(photo)
    visitor.page.wait_for_selector("#auto-parts img")  # the bundled network, before anything was taught
    visitor.draw_face()
    visitor.teach()
    visitor.page.locator("#number input[type=number]").fill("100")
    visitor.page.locator("#number input[type=number]").press("Tab")
    visitor.click("#train")
    visitor.page.wait_for_selector("#autoshot-status progress")
    visitor.click("#train-cancel")
    visitor.page.wait_for_selector("#autoshot-status >> text=Cancelled.")
    visitor.click("#train")
    visitor.page.wait_for_selector("#autoshot-status >> text=Learned from 100 faces")
    with safe_open(visitor.download("#download-safetensors", tmp_path / "auto.safetensors"), "pt") as file:
        assert "mouth" in str(file.metadata())
    assert visitor.download("#download-onnx", tmp_path / "auto.onnx").stat().st_size > 10_000
    visitor.page.get_by_role("tab", name="Live webcam").click()
    visitor.page.locator("#webcam button").first.click()
    visitor.page.wait_for_timeout(1000)
    record = visitor.page.locator("#webcam button:has-text('Record'), #webcam button[aria-label='start recording']")
    if record.count():
        record.first.click()
    visitor.page.wait_for_selector("#live img")


def test_the_page_fits_a_phone(browser, address):
    for scheme in ("light", "dark"):
        visitor = Visitor(browser, address, viewport={"width": 390, "height": 844}, color_scheme=scheme)
        assert visitor.page.evaluate("document.documentElement.scrollWidth") <= 390
        box = visitor.page.locator("#editor").bounding_box()
        assert 300 <= box["width"] <= 390
        visitor.close()


def test_a_program_can_use_the_steps(address, photo, tmp_path):
    from gradio_client import Client, handle_file

    client = Client(address, verbose=False, download_files=str(tmp_path))
    assert set(client.view_api(return_format="dict")["named_endpoints"]) == {"/generate", "/fit", "/segment"}
    face = Image.open(client.predict(7, 0.7, api_name="/generate"))
    assert face.size == (64, 64)
    label_map = np.full((64, 64), 255, np.uint8)
    label_map[:8], label_map[26:30, 22:42] = 0, 1
    Image.fromarray(label_map).save(tmp_path / "labels.png")
    client.predict(handle_file(tmp_path / "labels.png"), "background, eyes", "linear", api_name="/fit")
    png, report = client.predict(handle_file(photo), 2, api_name="/segment")
    assert Image.open(png).size == (200, 128)
    assert report["classes"] == ["background", "eyes"] and {"areas", "trust", "coco"} <= set(report)
    other = Client(address, verbose=False)
    with pytest.raises(Exception, match="expected a taught segmenter"):
        other.predict(handle_file(photo), 2, api_name="/segment")


def test_no_file_of_the_server_is_readable(address):
    import urllib.error
    import urllib.request

    for path in ("/etc/passwd", str(Path(__file__)), "../app.py", "app.py"):
        for route in ("/gradio_api/file=", "/file="):
            with pytest.raises(urllib.error.HTTPError, match="403|404"):
                urllib.request.urlopen(address + route + path)


def test_it_listens_on_this_machine_only(address):
    port = int(address.rsplit(":", 1)[1])
    own = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), port, socket.AF_INET)} - {"127.0.0.1"}
    for host in own:
        with socket.socket() as probe:
            assert probe.connect_ex((host, port)) != 0, host


def test_the_readme_of_the_space_is_one():
    text = (ROOT / "demos" / "README.md").read_text()
    front = text.split("---")[1]
    assert re.search(r"^sdk: gradio$", front, re.M) and re.search(r"^app_file: app.py$", front, re.M)
