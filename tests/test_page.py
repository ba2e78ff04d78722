"""The page in a real browser, driven by mouse, from a server in its own process."""

import io
import json
import re
import shutil
import socket
import subprocess
import tarfile
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import labelling
import numpy as np
import pytest
from page import CHROMIUM, EYES, MOUTH, NOSE, ROOT, Frame, Visitor, launch, server
from PIL import Image
from safetensors import safe_open

from toolkit import fewshot
from toolkit.pictures import images, labels
from toolkit.worlds import portraits


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The page as it would lie in a Space: demos/ at the top, toolkit/ and weights/ beside it.

    It shows the world of portraits, whose pictures can be drawn here, framed by hand: no framer is there to help."""
    space = tmp_path_factory.mktemp("space")
    shutil.copytree(ROOT / "demos", space, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "*.png"))
    for name in ("toolkit", "weights"):
        shutil.copytree(ROOT / name, space / name, ignore=shutil.ignore_patterns("__pycache__", "*-framer.*"))
    gan = str(space / "weights" / "portraits-64.safetensors")
    with server("--num-steps", "15", "--gan", gan, app=space / "app.py", PYTHONSAFEPATH="") as (address, _):
        yield address


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no browser is installed: apt-get install chromium")
    with pytest.importorskip("playwright.sync_api").sync_playwright() as p:
        browser = launch(p)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, address):
    """Open a tab; in the end, none may have asked any other host for anything."""
    visitors = []

    def visit(**options):
        visitors.append(Visitor(browser, address, **options))
        return visitors[-1]

    yield visit
    strangers = [url for visitor in visitors for url in visitor.strangers()]
    for visitor in visitors:
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


def drawn(visitor, path):
    """The shots of a tab, as it lets them be downloaded."""
    return fewshot.load_shots(visitor.download("#shots-download", path))


def test_from_a_drawing_to_parts_of_ones_own_picture(visit, photo, tmp_path):
    """Steps 1 to 4 in one go; to the first gallery it takes three clicks besides the drawing."""
    visitor = visit()
    visitor.draw_face()
    visitor.stroke((40, 60), (80, 60))
    visitor.click('#board button[aria-label^="Undo"]')
    visitor.settled()
    visitor.teach()
    first = visitor.pictures("#gallery")
    assert len(first) == 8 and len(visitor.pictures("#shots")) == 1
    shots = drawn(visitor, tmp_path / "shots.safetensors")
    assert [shot.classes for shot in shots] == [labels.PORTRAIT_CLASSES]
    label_map = shots[0].label_map[0]
    for x, y, part in [
        (25, 28, EYES),
        (39, 28, EYES),
        (32, 45, MOUTH),
        (32, 33, NOSE),
        (5, 5, 0),
        (8, 7, 0),
    ]:
        assert label_map[y, x] == part, (x, y)

    another = tmp_path / "another.png"
    images.to_pil(portraits.render(1, 128, 800_202)[0]).save(another)
    visitor.upload(photo, another, photo)
    visitor.click("#segment-button")
    visitor.page.wait_for_selector("#segment-status progress")
    visitor.click("#segment-cancel")
    visitor.page.wait_for_selector("#segment-status >> text=Cancelled.")

    visitor.click("#suggest")
    visitor.page.wait_for_selector("#suggestion img >> nth=1")
    visitor.click("#take")
    visitor.page.wait_for_selector("#suggestion", state="hidden")
    visitor.settled()
    visitor.choose(EYES, key=True)
    visitor.stroke((185, 225), (225, 225))
    visitor.teach()
    assert "2 shots" in visitor.page.locator("#teach-status").inner_text()
    second = visitor.pictures("#gallery")  # the same faces, other parts over them
    assert len(second) == 8 and not set(first) & set(second)
    assert "Cancelled" in visitor.page.locator("#segment-status").inner_text()
    visitor.changes("#gallery", lambda: visitor.click("#more"))

    visitor.watch("#redrawn")
    visitor.click("#segment-button")
    visitor.page.wait_for_selector("#segment-status >> text=Done.")
    # The picture formed step by step; not at each of the first, for the encoder's guess stays the best during these.
    assert visitor.seen() > 2
    picture = Image.open(visitor.download("#download-png", tmp_path / "labels.png"))
    assert picture.mode == "P" and picture.size == (200, 128)
    assert np.array_equal(np.array(picture.getpalette()).reshape(-1, 3)[:10], labels.default_palette(10))
    found = set(np.unique(np.array(picture)).tolist())
    assert {0, 255} <= found <= {0, EYES, NOSE, MOUTH, 255} and len(found) > 2
    for selector in ("#download-overlay", "#download-json"):
        assert visitor.download(selector, tmp_path / "file").stat().st_size > 100
    with zipfile.ZipFile(visitor.download("#download-zip", tmp_path / "parts.zip")) as file:
        assert {"photo-labels.png", "another.json", "photo-2-overlay.png", "coco.json"} <= set(file.namelist())
    coco = json.loads(visitor.download("#download-coco", tmp_path / "coco.json").read_text())
    assert [p["file_name"] for p in coco["images"]] == ["photo.jpg", "another.png", "photo-2.jpg"]
    assert {a["image_id"] for a in coco["annotations"]} == {p["id"] for p in coco["images"]}
    assert "background" in visitor.page.locator("#areas").inner_text()
    visitor.changes("#redrawn", lambda: visitor.page.locator("#which").get_by_label("another.png").click())
    masks = len(visitor.pictures("#parts"))
    visitor.page.locator("#toggles input").first.uncheck()
    visitor.page.wait_for_function("n => document.querySelectorAll('#parts img').length == n - 1", arg=masks)

    visitor.page.locator("#auto-picture input[type=file]").first.set_input_files(photo)
    visitor.page.locator("#auto-parts").scroll_into_view_if_needed()
    visitor.page.wait_for_selector("#auto-parts img")  # the bundled network, before any was trained
    visitor.click("#train")
    visitor.page.wait_for_selector("#autoshot-status progress")
    visitor.click("#train-cancel")
    visitor.page.wait_for_selector("#autoshot-status >> text=Cancelled.")


def test_two_tabs_do_not_see_each_others_shots_and_bad_uploads_cost_none(visit, tmp_path):
    visitor, other = visit(), visit()
    visitor.choose(2)
    visitor.stroke((230, 340), (285, 340))
    visitor.add_shot()
    other.click("#add")
    assert "Paint a part first" in other.toast()
    other.click("#teach-button")
    assert "Paint the parts" in other.toast()
    assert not other.page.locator(".card .error").first.is_visible()  # Gradio's red mark would outlive the toast
    assert other.pictures("#shots") == []

    program, broken, huge = tmp_path / "program.png", tmp_path / "broken.png", tmp_path / "huge.png"
    program.write_bytes(b"MZ\x90\x00" + bytes(range(256)) * 40)
    whole = io.BytesIO()
    images.to_pil(portraits.render(1, 64, 800_201)[0]).save(whole, "PNG")
    broken.write_bytes(whole.getvalue()[:2000])
    huge.write_bytes(whole.getvalue() + bytes(50 << 20))
    visitor.page.get_by_role("tab", name="Your picture").click()
    field = visitor.page.locator("#shot-picture input[type=file]")
    for path, words in [
        (program, "“program.png” cannot be used. Open it in an image program"),
        (broken, "“broken.png” cannot be used. Open it in an image program"),
        (huge, "size"),
    ]:
        field.first.set_input_files(path)
        text = visitor.toast()
        assert words in text and not re.search("expected|Traceback|/tmp| at 0x", text), text
        visitor.page.wait_for_selector("#shot-picture >> text=Drop a photograph")  # not a broken picture's mark
    assert len(visitor.pictures("#shots")) == 1
    visitor.stroke((40, 60), (80, 60))
    visitor.add_shot()
    assert [len(shot.label_map.unique()) for shot in drawn(visitor, tmp_path / "shots.safetensors")] == [2]


def test_a_phone_with_a_fine_screen(visit, tmp_path):
    """Nothing is wider than the screen, and at two device pixels a pixel the drawing is what was drawn."""
    visitor = visit(width=390, height=844, device_scale_factor=2, color_scheme="dark")
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert 300 <= visitor.page.locator("#board").bounding_box()["width"] <= 390
    visitor.choose(3)
    visitor.stroke((200, 300), (312, 300))
    visitor.add_shot()
    (shot,) = drawn(visitor, tmp_path / "shots.safetensors")
    expected = np.where(labelling.brushed([(25, 37), (39, 37)], 3, (64, 64)), 3, 0)
    assert np.array_equal(shot.label_map[0], expected)


def test_drawing_gives_exactly_the_pixels_drawn(visit, tmp_path):
    """As in a notebook: every tool, the same code."""
    visitor, expected = visit(), np.full((1, 64, 64), 255, np.uint8)
    visitor.page.locator("#board .stage").scroll_into_view_if_needed()
    visitor.page.locator("#board .toolkit-labeller").focus()
    visitor.press("]")
    labelling.draws_exactly(visitor, expected)
    visitor.page.locator("#fill input").uncheck()
    visitor.add_shot()
    (shot,) = drawn(visitor, tmp_path / "shots.safetensors")
    assert np.array_equal(shot.label_map, expected)


def test_the_brush_moves_by_keys_and_by_mouse_and_a_screen_reader_finds_names(visit):
    """And each stroke reaches the server once."""
    visitor, expected, sent = visit(), np.full((1, 64, 64), 255, np.uint8), []
    page = visitor.page
    page.on("request", lambda request: sent.append(request.post_data_json) if "predict" in request.url else 0)
    assert page.get_by_role("img", name="Picture to label").count() == 1
    assert page.get_by_role("button", name="A picture to segment: 4").count() == 1
    # The first screen and one a step, none inside another.
    assert page.locator('.status[aria-live="polite"]').count() == 5
    page.locator("#board .stage").focus()
    visitor.press("2")
    visitor.press("Shift+ArrowUp")
    visitor.press("Space")
    for _ in range(5):
        visitor.press("ArrowRight")
    visitor.press("Space")
    visitor.press("ArrowDown")  # the brush is up again
    expected[0][labelling.brushed([(32, 24), (37, 24)], 3, (64, 64))] = 2
    assert visitor.holds(expected)
    assert visitor.strokes == 1
    pressed = page.eval_on_selector_all("#board .side button", "all => all.map(one => one.ariaPressed)")
    assert pressed == ["true" if i == 2 else "false" for i in range(10)]
    for x in (100, 200, 300):
        visitor.stroke((x, 225), (x + 40, 225))
    strokes = [stroke for message in sent for stroke in message["data"][0]["strokes"]]
    assert [stroke["number"] for stroke in strokes] == [1, 2, 3, 4]


def test_a_photograph_shows_its_parts_before_anything_is_taught(visit, photo):
    visitor = visit()
    visitor.page.locator("#try-picture input[type=file]").first.set_input_files(photo)
    visitor.page.wait_for_selector("#try-parts img")
    assert visitor.page.locator("#try-trust .chip").count() == len(labels.PORTRAIT_CLASSES)
    visitor.upload(photo)
    visitor.click("#segment-button")
    visitor.page.wait_for_selector("#segment-status >> text=Nothing is taught yet")
    assert visitor.pictures("#parts-auto")


@pytest.fixture(scope="module")
def tilted(tmp_path_factory):
    """A portrait turned by 20 degrees, in a picture of 300x200 pixels, about (110, 90), its side 100."""
    picture = Image.new("RGB", (300, 200), (120, 130, 140))
    face = images.to_pil(portraits.render(1, 100, 800_200)[0]).convert("RGBA").rotate(-20, Image.BICUBIC, expand=True)
    picture.paste(face, (110 - face.width // 2, 90 - face.height // 2), face)
    path = tmp_path_factory.mktemp("tilted") / "tilted.png"
    picture.save(path)
    return path


def test_the_frame_over_an_upload_is_set_by_mouse_touch_and_keys_and_kept(visit, photo, tilted):
    """What is found follows it, in the first screen and in step 3, where each upload has its own."""
    visitor = visit()
    page = visitor.page
    page.locator("#try-picture input[type=file]").first.set_input_files(tilted)
    page.wait_for_selector("#try-parts img")
    first = Frame(page, "#try-picture-frame")
    assert first.now() == (150, 100, 200, 0)  # the centred square, without a framer
    assert page.get_by_role("application", name=re.compile("Frame of tilted.png: arrows move it")).count() == 1
    visitor.changes("#try-parts", lambda: first.drag((150, 100), (110, 90)))
    assert first.now()[:2] == pytest.approx((110, 90), abs=1)
    visitor.changes("#try-parts", lambda: first.drag((210, 190), (160, 140)))  # a corner, to half its distance
    assert first.now()[2] == pytest.approx(100, abs=3)
    for key in ("Shift+]", "Shift+]", "]", "]", "]", "]", "ArrowLeft"):
        page.keyboard.press(key)
    x, _, side, angle = first.now()
    assert angle == 20 and x == pytest.approx(110 - side / 64, abs=1)
    # Two fingers: 20 pixels to the right, and twice as far apart.
    first.touch([(90, 90), (130, 90)], [(90, 90), (170, 90)])
    assert first.now()[2:] == pytest.approx((2 * side, 20), abs=4) and first.now()[0] == pytest.approx(x + 20, abs=2)
    page.locator("#try-picture-frame").get_by_role("button", name="Smaller frame").click()
    set_by_hand = first.now()

    visitor.upload(photo, tilted)
    page.wait_for_selector("#which >> text=tilted.png")
    second = Frame(page, "#original")
    assert second.now() == (100, 64, 128, 0)
    page.locator("#which").get_by_label("tilted.png").click()
    page.wait_for_selector("#original [aria-label^='Frame of tilted.png']")
    assert second.now() == set_by_hand  # the same picture as above
    page.locator("#method").get_by_label("Auto-shot").check()
    visitor.click("#segment-button")
    page.wait_for_selector("#segment-status >> text=Done.")
    assert page.locator("#which").get_by_label("tilted.png").is_checked()
    areas = page.locator("#areas").inner_text()
    page.locator("#original").get_by_role("button", name="Turn left").click()
    page.wait_for_function("before => document.querySelector('#areas').innerText != before", arg=areas)


def test_a_result_is_corrected_and_what_is_taught_then_is_in_the_others(visit, photo, tilted, tmp_path):
    visitor = visit()
    page = visitor.page
    visitor.draw_face()
    page.locator("#advanced button").first.click()
    # Enough to find parts: of what sees background everywhere, before and after, nobody sees that it follows.
    page.locator("#steps input[type=number]").fill("100")
    page.locator("#steps input[type=number]").press("Tab")
    visitor.teach()
    page.locator("#steps input[type=number]").fill("0")
    page.locator("#steps input[type=number]").press("Tab")
    visitor.upload(photo, tilted)
    visitor.click("#segment-button")
    page.wait_for_selector("#segment-status >> text=Done.")
    page.locator("#which").get_by_label("tilted.png").click()
    page.wait_for_selector("#original [aria-label^='Frame of tilted.png']")
    areas = page.locator("#areas").inner_text()
    assert "%" in areas and "100.0%" not in areas
    page.locator("#which").get_by_label("photo.jpg").click()
    page.wait_for_selector("#original [aria-label^='Frame of photo.jpg']")

    visitor.click("#correct")
    page.wait_for_selector("#label-status >> text=Correct the parts")
    visitor.settled()
    visitor.choose(8)
    for y in range(12, 200, 24):  # the upper third
        visitor.stroke((12, y), (500, y))
    visitor.teach()
    assert "2 shots in 25 more steps" in page.locator("#teach-status").inner_text()
    _, shot = drawn(visitor, tmp_path / "shots.safetensors")
    assert (shot.label_map[0, :20, 4:60] == 8).all()
    page.locator("#which").get_by_label("tilted.png").click()
    page.wait_for_selector("#original [aria-label^='Frame of tilted.png']")
    page.wait_for_function("before => document.querySelector('#areas').innerText != before", arg=areas)


def test_a_reload_loses_nothing(visit, tilted, tmp_path):
    visitor = visit()
    visitor.page.locator("#try-picture input[type=file]").first.set_input_files(tilted)
    visitor.page.wait_for_selector("#try-parts img")
    frame = Frame(visitor.page, "#try-picture-frame")
    visitor.page.locator("#try-picture-frame").get_by_role("button", name="Smaller frame").click()
    framed = frame.now()
    visitor.draw_face()
    visitor.teach()
    visitor.page.locator("#seed input").fill("12")
    visitor.click("#another")
    visitor.page.wait_for_function("document.querySelector('#board [data-revision]').dataset.revision == 1")
    visitor.settled()
    visitor.choose(3)
    visitor.stroke((200, 300), (312, 300))
    before = visitor.labels()
    asked = []
    visitor.page.on("dialog", lambda dialog: asked.append(dialog.type) or dialog.accept())
    visitor.page.reload()
    visitor.page.wait_for_selector("#gallery img >> nth=7")
    visitor.page.wait_for_selector("#shots img")
    visitor.settled()
    assert asked == ["beforeunload"]
    visitor.page.wait_for_selector("#try-parts img")
    assert frame.now() == framed
    assert np.array_equal(visitor.labels(), before)
    assert visitor.page.locator("#seed input").input_value() == "13"
    assert visitor.page.locator('#board .side [aria-pressed="true"]').inner_text().startswith("eyes")
    visitor.add_shot(2)
    first, second = drawn(visitor, tmp_path / "shots.safetensors")
    assert first.label_map.unique().tolist() == [0, EYES, NOSE, MOUTH]
    assert np.array_equal(second.label_map, np.where(before == 255, 0, before))
    visitor.page.reload()  # all is in the file that was just taken away
    visitor.page.wait_for_selector("#shots img >> nth=1")
    assert asked == ["beforeunload"]


@pytest.mark.slow
def test_a_new_server_goes_on_with_what_the_browser_kept(browser, photo, tilted):
    """Uploads with their frames, results of the first screen, and the drawing: the page says that it waits, then goes
    on by itself."""
    flags = ("--num-steps", "15", "--gan", "portraits-64")
    with server(*flags) as (address, process):
        visitor = Visitor(browser, address)
        page = visitor.page
        page.locator("#try-picture input[type=file]").first.set_input_files(tilted)
        page.wait_for_selector("#try-parts img")
        frame = Frame(page, "#try-picture-frame")
        visitor.changes("#try-parts", lambda: frame.drag((150, 100), (110, 90)))
        visitor.upload(photo, tilted)
        page.wait_for_selector("#which >> text=photo.jpg")
        Frame(page, "#original").drag((100, 64), (90, 60))
        page.wait_for_function("() => parseFloat(document.querySelector('#original [data-frame]').dataset.frame) < 95")
        visitor.choose(EYES)
        visitor.stroke((185, 225), (225, 225))
        page.wait_for_function("() => JSON.parse(sessionStorage.getItem('kept')).uploads.pictures.length == 2")
        before, other = frame.now(), Frame(page, "#original").now()
        process.kill()
        process.wait()
        visitor.drag((20, 50), (40, 50))  # kept in the browser, which learns now that nobody answers
        page.wait_for_selector(".toast-wrap >> text=Connection to the server was lost")
    page.evaluate("window.old = true")
    with server(*flags, port=int(address.rpartition(":")[2])):
        page.wait_for_function("() => !window.old")
        page.wait_for_selector("#try-parts img")
        page.wait_for_selector("#which >> text=tilted.png")
        visitor.settled()
        painted = labelling.brushed([(23, 28), (28, 28)], 3, (64, 64)) | labelling.brushed(
            [(20, 50), (40, 50)], 3, (64, 64)
        )
        assert frame.now() == before and np.array_equal(visitor.labels()[0] == EYES, painted)
        assert page.locator("#which").get_by_label("photo.jpg").is_checked()
        assert Frame(page, "#original").now() == other
        page.locator("#which").get_by_label("tilted.png").click()
        page.wait_for_selector("#original [aria-label^='Frame of tilted.png']")
        assert Frame(page, "#original").now() == before  # the same picture as above
        visitor.click("#segment-button")
        page.wait_for_selector("#segment-status >> text=Nothing is taught yet")
        page.locator("#try-picture-frame").get_by_role("button", name="Another picture").click()
        page.wait_for_selector("#try-picture >> text=Drop a photograph")
        page.reload()
        page.wait_for_selector("#which >> text=tilted.png")
        assert page.locator("#try-picture-frame .picture").count() == 0  # what was taken away stays away
        visitor.close()


@pytest.fixture(scope="module")
def axe(tmp_path_factory):
    """The script of axe-core, which looks for what keeps people from using a page."""
    folder = tmp_path_factory.mktemp("axe")
    if shutil.which("npm") is None:
        pytest.skip("no npm to fetch axe-core with")
    fetched = subprocess.run(["npm", "pack", "axe-core@4"], cwd=folder, capture_output=True, timeout=120)
    if fetched.returncode:
        pytest.skip("axe-core cannot be fetched")
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        return archive.extractfile("package/axe.min.js").read().decode()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_no_serious_fault(visit, axe, photo, width, scheme):
    visitor = visit(width=width, height=900, color_scheme=scheme)
    visitor.page.locator("#try-picture input[type=file]").first.set_input_files(photo)
    visitor.page.wait_for_selector("#try-parts img")
    visitor.page.evaluate(axe)
    found = visitor.page.evaluate("""axe.run().then(({ violations }) => violations
        .filter((one) => ["serious", "critical"].includes(one.impact))
        .flatMap((one) => one.nodes.map((node) => `${one.id}: ${node.html.slice(0, 200)}`)))""")
    assert found == []


def test_shots_are_edited_deleted_and_loaded(visit, tmp_path):
    visitor = visit()
    visitor.choose(1)
    visitor.stroke((185, 225), (225, 225))
    visitor.click("#another")  # keeps the drawing
    visitor.page.wait_for_selector("#shots img")
    visitor.settled()
    visitor.choose(2)
    visitor.stroke((230, 340), (285, 340))
    visitor.add_shot(2)
    both = tmp_path / "shots.safetensors"
    assert [s.label_map.unique().tolist() for s in drawn(visitor, both)] == [[0, 1], [0, 2]]

    visitor.page.locator("#shots .thumbnail-item").first.click()
    visitor.page.wait_for_selector("#shots-note >> text=Shot 1 of 2")
    visitor.settled()
    visitor.choose(3)
    visitor.stroke((256, 240), (256, 295))
    visitor.changes("#shots", lambda: visitor.click("#add"))
    assert "Shot 1 of 2" in visitor.page.locator("#shots-note").inner_text()
    edited = drawn(visitor, tmp_path / "edited.safetensors")
    assert [s.label_map.unique().tolist() for s in edited] == [[0, 1, 3], [0, 2]]

    visitor.click("#shot-delete")
    visitor.page.wait_for_selector("#shots img >> nth=1", state="detached")
    visitor.page.locator("#shots-load input[type=file], #shots-box input[type=file]").first.set_input_files(both)
    visitor.page.wait_for_selector("#shots img >> nth=2")


def test_classes_are_added_renamed_and_removed(visit):
    visitor = visit()

    def named():
        return visitor.page.locator("#board .side span").all_inner_texts()

    def change(button, name=None, which=None):
        if name:
            visitor.page.locator("#class-name input, #class-name textarea").first.fill(name)
        if which:
            visitor.click("#class-which input")
            visitor.page.get_by_role("option", name=which).click()
        visitor.click(button)

    visitor.click("#classes button")
    change("#class-add", "hat")
    visitor.page.wait_for_selector("#board .side >> text=hat")
    assert named() == [*labels.PORTRAIT_CLASSES, "hat"]
    change("#class-remove", which="mouth")
    visitor.page.wait_for_selector("#board .side >> text=mouth", state="detached")
    fewer = [name for name in labels.PORTRAIT_CLASSES if name != "mouth"]
    assert named() == [*fewer, "hat"]
    change("#class-rename", "cap", "hat")
    visitor.page.wait_for_selector("#board .side >> text=cap")
    assert named() == [*fewer, "cap"]
    visitor.page.get_by_label("3 parts").click()
    visitor.page.wait_for_selector("#board .side >> text=mouth")
    assert named() == list(labels.THREE_CLASSES)


def test_who_waits_in_the_queue_sees_the_place_and_may_leave(visit):
    visitor, other = visit(), visit()
    assert not visitor.page.locator("#teach-stop").is_visible()
    for one in (visitor, other):
        one.choose(2)
        one.stroke((230, 340), (285, 340))
    visitor.teach()
    visitor.click("#train")
    visitor.page.wait_for_selector("#autoshot-status progress")
    other.click("#teach-button")
    place = other.page.wait_for_selector("#teach-status >> text=queue: 1/1").bounding_box()
    assert place["height"] > 10 and place["y"] >= other.page.locator("#teach-stop").bounding_box()["y"]
    other.click("#teach-stop")
    other.page.wait_for_selector("#teach-status >> text=Stopped.")
    assert visitor.page.locator("#autoshot-status progress").count() == 1
    visitor.click("#train-cancel")
    visitor.page.wait_for_selector("#autoshot-status >> text=Cancelled.")


def test_a_camera_is_segmented_live(visit):
    visitor = visit()
    visitor.page.get_by_role("tab", name="Live webcam").click()
    visitor.page.locator("#webcam >> text=Click to Access Webcam").click()
    visitor.page.locator("#webcam button:has-text('Record')").click()
    visitor.page.locator("#live").scroll_into_view_if_needed()
    visitor.page.wait_for_selector("#live img")
    visitor.watch("#live")
    visitor.page.wait_for_function("window.seen.size > 1")
    assert visitor.page.locator("#auto-legend .chip").count() == len(labels.PORTRAIT_CLASSES)


@pytest.mark.slow
def test_examples_teach_and_are_segmented_at_a_click(visit):
    visitor = visit()
    visitor.page.get_by_role("tab", name="Example").click()
    visitor.page.locator("#shot-examples .thumbnail-item").first.click()
    visitor.page.wait_for_selector('#board [data-revision="1"]')
    visitor.settled()
    visitor.teach()
    visitor.page.locator("#segment-examples .thumbnail-item").first.click()
    visitor.page.wait_for_selector("#pictures img")
    visitor.page.get_by_label("Side by side").click()
    visitor.click("#segment-button")
    visitor.page.wait_for_selector("#segment-status >> text=Done.")
    assert visitor.pictures("#parts") and visitor.pictures("#parts-auto")


@pytest.mark.slow
def test_autoshot_trains_answers_and_is_taken_away(visit, photo, tmp_path):
    visitor = visit()
    visitor.draw_face()
    visitor.teach()
    visitor.page.locator("#number input[type=number]").fill("100")
    visitor.page.locator("#number input[type=number]").press("Tab")
    visitor.click("#train")
    visitor.page.set_default_timeout(600_000)
    visitor.page.wait_for_selector("#autoshot-status >> text=Learned from 100 faces")
    with safe_open(visitor.download("#download-safetensors", tmp_path / "auto.safetensors"), "pt") as file:
        assert "mouth" in str(file.metadata())
    assert visitor.download("#download-onnx", tmp_path / "auto.onnx").stat().st_size > 10_000


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
    assert report["coco"]["images"] == [{"id": 1, "file_name": "photo.jpg", "width": 200, "height": 128}]
    other = Client(address, verbose=False)
    with pytest.raises(Exception, match="expected a taught segmenter"):
        other.predict(handle_file(photo), 2, api_name="/segment")


def test_no_file_of_the_server_is_readable(address):
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
