"""An auto-shot network as one page: opened from a disk by a real browser that has no network."""

import base64
import gzip
import http.server
import json
import re
import threading

import numpy as np
import pytest
import torch
from command_line import run
from page import CHROMIUM, launch
from PIL import Image

from toolkit.autoshot import AutoShotSegmenter, onnx_file, runtime
from toolkit.errors import ToolkitError
from toolkit.gan.files import zoo
from toolkit.pictures.images import save_png, to_pil
from toolkit.pictures.labels import load_label_png, palette_of
from toolkit.projection.trust import LOW
from toolkit.worlds import portraits

NOWHERE = "http://127.0.0.1:9"  # the port that discards: nothing answers
NETWORK = zoo.folder() / "portraits-64-autoshot.safetensors"


@pytest.fixture(scope="module")
def cache(pytestconfig):
    """Environment whose cache has ONNX Runtime Web; it is kept between runs, so that it is fetched once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOOLKIT_CACHE", str(pytestconfig.cache.mkdir("toolkit")))
        try:
            runtime.onnxruntime_web()
        except ToolkitError as error:
            if "no connection" in str(error) or "HTTP status 5" in str(error):
                pytest.skip(f"npm's registry cannot be reached: {error}")
            raise
        patch.setenv("NPM_CONFIG_REGISTRY", NOWHERE)  # from here on the cache must do
        yield patch


@pytest.fixture(scope="module")
def exported(cache, tmp_path_factory):
    """The bundled network as a page, alone in its folder."""
    out = tmp_path_factory.mktemp("page") / "parts.html"
    done = run("export", NETWORK, "--html", out)
    assert done.returncode == 0 and str(out) in done.stdout, done.stderr
    assert list(out.parent.iterdir()) == [out]
    return out


@pytest.fixture(scope="module")
def browser():
    pytest.importorskip("playwright")
    if CHROMIUM is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = launch(playwright)
        yield running
        running.close()


class Reader:
    """Someone who opens the page from a disk, without a network."""

    def __init__(self, browser, file, *, width=1280, height=900, **options):
        self.requests, self.errors, size = [], [], {"width": width, "height": height}
        self.page = browser.new_context(offline=True, viewport=size, accept_downloads=True, **options).new_page()
        self.page.set_default_timeout(120_000)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(file.as_uri())
        self.page.wait_for_selector("#open:enabled, #status.failed")
        assert self.status == "Ready."

    @property
    def status(self):
        return self.page.inner_text("#status")

    def open(self, *files):
        """Open pictures, and wait until they are segmented."""
        self.page.set_input_files("#files", files)
        self.page.wait_for_selector("#status >> text=/segmented/")

    def card(self, name):
        return self.page.locator("#results > li").filter(has=self.page.locator("h2", has_text=name))

    def labels(self, name, path):
        """The label map of a picture, as it is downloaded."""
        with self.page.expect_download() as download:
            self.card(name).get_by_text("Labels as PNG").click()
        download.value.save_as(path)
        return load_label_png(path)[0], download.value.suggested_filename


@pytest.fixture(scope="module")
def opened(browser, exported):
    reader = Reader(browser, exported)
    yield reader
    assert reader.errors == []
    reader.page.context.close()


@pytest.fixture
def reader(opened):
    """The page, with no picture on it."""
    while opened.page.locator(".remove").count():
        opened.page.locator(".remove").first.click()
    return opened


@pytest.fixture(scope="module")
def auto():
    return AutoShotSegmenter.load(NETWORK, "cpu")


def portrait(side, seed=1_500_000):
    return to_pil(portraits.render(1, side, seed)[0][0])


def held(page, element):
    """What an element of the page holds."""
    return re.search(rf'id="{element}">(.*?)</script>', page.read_text("utf-8"))[1]


# ---- labels ------------------------------------------------------------------------------------
@pytest.mark.parametrize("height", [64, 100])
def test_labels_are_those_of_onnxruntime(reader, exported, auto, tmp_path, height):
    """The shorter side is what the network wants: nothing is resized, so that every pixel is the same."""
    onnxruntime = pytest.importorskip("onnxruntime")
    picture = np.asarray(portrait(100))[:height, 18:82]
    Image.fromarray(picture).save(tmp_path / "face.png")
    model = gzip.decompress(base64.b64decode(held(exported, "model")))
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    image = picture.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(127.5) - 1
    logits, trust = session.run(["logits", "trust"], {"image": image})
    reader.open(tmp_path / "face.png")
    found, name = reader.labels("face.png", tmp_path / "labels.png")
    np.testing.assert_array_equal(found, logits[0].argmax(0))
    assert len(np.unique(found)) > 5 and name == "face.parts.png"
    assert f"Trust {trust[0]:.2f}." in reader.card("face.png").inner_text()
    palette = Image.open(tmp_path / "labels.png").getpalette()
    assert palette[: auto.palette.size] == auto.palette.flatten().tolist()


def turned(picture, path):
    """A photograph that lies on its side, and says so."""
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.transpose(Image.Transpose.ROTATE_90).save(path, quality=95, exif=exif)


def half_transparent(picture, path):
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    picture.save(path)


@pytest.mark.parametrize(
    "name, size, save",
    [
        ("small.png", (31, 40), Image.Image.save),
        ("wide.png", (400, 230), Image.Image.save),
        ("turned.jpg", (300, 420), turned),
        ("transparent.png", (200, 200), half_transparent),
        ("large.png", (1501, 1203), Image.Image.save),  # of more pixels than a label map has at most
    ],
)
def test_labels_of_pictures_of_any_size_are_near_those_of_segment(reader, auto, tmp_path, name, size, save):
    save(portrait(512).resize(size), tmp_path / name)
    result = auto.segment(tmp_path / name)
    reader.open(tmp_path / name)
    found, _ = reader.labels(name, tmp_path / "labels.png")
    assert found.shape == result.full_label_map.shape
    assert (found == result.full_label_map).float().mean() > 0.995
    said = float(re.search(r"Trust (\d\.\d\d)\.", reader.card(name).inner_text())[1])
    assert abs(said - result.trust) < 0.03


def test_a_network_of_padded_pictures_sees_them_as_segment_does(browser, exported, tmp_path):
    """Their edges repeated to a square, and the labels cut back."""
    auto = AutoShotSegmenter.load(NETWORK, "cpu")
    auto.fit = "pad"
    page = exported.read_text("utf-8").replace('"fit": "crop"', '"fit": "pad"')
    (tmp_path / "parts.html").write_text(page, "utf-8")
    reader = Reader(browser, tmp_path / "parts.html")
    for name, size in (("wide.png", (400, 240)), ("tall.png", (201, 320))):
        portrait(512).resize(size).save(tmp_path / name)
        result = auto.segment(tmp_path / name)
        reader.open(tmp_path / name)
        found, _ = reader.labels(name, tmp_path / "labels.png")
        assert found.shape == result.full_label_map.shape
        assert (found == result.full_label_map).float().mean() > 0.99
        said = float(re.search(r"Trust (\d\.\d\d)\.", reader.card(name).inner_text())[1])
        assert abs(said - result.trust) < 0.03
    reader.page.context.close()


# ---- the page ----------------------------------------------------------------------------------
def test_nothing_is_requested_and_what_is_no_picture_is_named(reader, tmp_path):
    save_png(tmp_path / "car.png", torch.rand(3, 64, 64) * 2 - 1)
    portrait(64).save(tmp_path / "face.png")
    (tmp_path / "notes.txt").write_text("no picture")
    reader.open(*(tmp_path / name for name in ("face.png", "notes.txt", "car.png")))
    assert reader.status.startswith("2 pictures segmented. Not these: notes.txt (")
    assert [card.inner_text() for card in reader.page.locator("#results h2").all()] == ["car.png", "face.png"]
    low, known = reader.card("car.png").locator(".trust"), reader.card("face.png").locator(".trust")
    assert "Do not believe these parts" in low.inner_text() and "low" in low.get_attribute("class")
    assert "can be believed" in known.inner_text() and "low" not in known.get_attribute("class")
    assert all(url.startswith(("file:", "blob:")) for url in reader.requests)
    assert sum(url.startswith("file:") for url in reader.requests) == 1


def test_the_webcam_is_segmented_until_it_is_stopped(reader, tmp_path):
    reader.page.click("#webcam")
    reader.page.wait_for_selector(".rate >> text=/[0-9.]+ pictures a second/")
    assert reader.page.get_attribute("#webcam", "aria-pressed") == "true"
    reader.page.click("#webcam >> text=Stop webcam")
    assert reader.page.inner_text("#webcam") == "Use webcam"
    found, name = reader.labels("Webcam", tmp_path / "labels.png")
    assert found.shape == (480, 640) and name == "Webcam.parts.png"
    assert reader.page.locator("#results > li").count() == 1


def test_it_is_used_by_keyboard_and_heard(reader, auto, tmp_path):
    portrait(64).save(tmp_path / "face.png")
    reader.open(tmp_path / "face.png")
    reader.page.locator("#open").focus()
    reached = []
    for _ in range(6):
        reached.append(reader.page.evaluate("document.activeElement.id || document.activeElement.className"))
        if reached[-1] == "shown":
            reader.page.keyboard.press("Space")
            assert reader.page.locator(".tint").evaluate("one => getComputedStyle(one).visibility") == "hidden"
            reader.page.keyboard.press("Space")
        if reached[-1] == "opacity":
            reader.page.keyboard.press("End")
            assert reader.page.locator(".tint").evaluate("one => getComputedStyle(one).opacity") == "1"
        reader.page.keyboard.press("Tab")
    assert reached == ["open", "webcam", "shown", "opacity", "save", "remove"]
    heard = reader.page.locator(".tint")
    assert heard.get_attribute("role") == "img"
    assert re.match(r"Parts of face.png: face \d+%, hair \d+%", heard.get_attribute("aria-label"))
    legend = reader.page.locator("#legend li")
    assert legend.all_inner_texts() == list(auto.classes)
    colour = legend.nth(1).locator("i").evaluate("one => getComputedStyle(one).backgroundColor")
    assert colour == f"rgb({', '.join(map(str, auto.palette[1]))})"
    assert reader.page.get_attribute("#status", "role") == "status"


def test_dropped_pictures_are_opened(reader, tmp_path):
    portrait(64).save(tmp_path / "face.png")
    transfer = reader.page.evaluate_handle(
        """bytes => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([Uint8Array.from(bytes)], "dropped.png"));
            return transfer;
        }""",
        list((tmp_path / "face.png").read_bytes()),
    )
    reader.page.dispatch_event("#empty", "drop", {"dataTransfer": transfer})
    reader.page.wait_for_selector("#results h2 >> text=dropped.png")


@pytest.mark.parametrize("width, scheme, dark", [(1280, "light", False), (390, "dark", True)])
def test_it_fits_any_screen_by_day_and_night(browser, exported, tmp_path, width, scheme, dark):
    reader = Reader(browser, exported, width=width, color_scheme=scheme)
    portrait(300).crop((0, 0, 300, 90)).save(tmp_path / "a-name-that-is-far-too-long-for-the-card-of-a-picture.png")
    reader.open(*tmp_path.iterdir())
    assert reader.page.evaluate("document.documentElement.scrollWidth") == width
    paper = reader.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", paper))) < 200) == dark
    reader.page.context.close()


def by_colour(path):
    """A network as ONNX, without trust: its classes are red, green and blue."""
    onnx = pytest.importorskip("onnx")
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None, 3, None, None])
        for name in ("image", "logits")
    ]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["image"], ["logits"])], "g", *([e] for e in ends)
    )
    onnx.save_model(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10), path
    )


def test_any_class_name_is_only_a_name_and_without_trust_none_is_told(browser, cache, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, "export", lambda network, about, path: by_colour(path))
    classes = ["background", "</script><b>bold</b>", "$about"]
    AutoShotSegmenter(torch.nn.Identity(), classes, 16).export_html(tmp_path / "parts.html")
    reader = Reader(browser, tmp_path / "parts.html")
    assert reader.page.locator("#legend li").all_inner_texts() == classes
    Image.fromarray(np.eye(3, dtype=np.uint8)[None].repeat(16, 0).repeat(6, 1) * 255).save(tmp_path / "stripes.png")
    reader.open(tmp_path / "stripes.png")
    assert "rust" not in reader.card("stripes.png").inner_text() and not reader.errors
    found, _ = reader.labels("stripes.png", tmp_path / "labels.png")
    assert found.unique_consecutive(dim=0).tolist() == [[0] * 6 + [1] * 6 + [2] * 6]
    tint = [
        reader.page.locator(".tint").evaluate(f"one => [...one.getContext('2d').getImageData({x}, 3, 1, 1).data]")
        for x in (3, 9, 15)
    ]
    palette = palette_of(classes).tolist()
    assert tint == [[0] * 4, [*palette[1], 255], [*palette[2], 255]]  # background stays clear
    reader.page.context.close()


# ---- what it is made of ------------------------------------------------------------------------
def test_without_a_connection_it_says_so_in_a_line(tmp_path):
    done = run(
        "export", NETWORK, "--html", tmp_path / "a.html", TOOLKIT_CACHE=str(tmp_path), NPM_CONFIG_REGISTRY=NOWHERE
    )
    address = f"{NOWHERE}/onnxruntime-web/-/onnxruntime-web-{runtime.VERSION}.tgz"
    want = f"export_html: expected to download {address}; got no connection, or one that broke off (ConnectionError)."
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and done.stderr.startswith(want)
    assert list(tmp_path.glob("*.html")) == []


class Impostor(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"other")

    def log_message(self, *_):
        pass


def test_another_file_is_refused_and_a_registry_of_npmrc_asked(tmp_path, monkeypatch):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Impostor)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        (tmp_path / ".npmrc").write_text(f"; mine\nregistry = http://127.0.0.1:{server.server_port}/\n")
        monkeypatch.delenv("NPM_CONFIG_REGISTRY", raising=False)
        monkeypatch.delenv("npm_config_registry", raising=False)
        monkeypatch.setenv("NPM_CONFIG_USERCONFIG", str(tmp_path / ".npmrc"))
        monkeypatch.setenv("TOOLKIT_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        with pytest.raises(ToolkitError, match=r"export_html: expected to download http.*tgz; got another file\. Do"):
            runtime.onnxruntime_web()
    finally:
        server.shutdown()
        server.server_close()
    assert list((tmp_path / "cache").rglob("*.tgz")) == []


def test_npms_own_registry_is_asked_unless_another_is_set(tmp_path, monkeypatch):
    monkeypatch.setenv("NPM_CONFIG_USERCONFIG", str(tmp_path / "none"))
    monkeypatch.delenv("NPM_CONFIG_REGISTRY", raising=False)
    monkeypatch.delenv("npm_config_registry", raising=False)
    assert runtime.registry() == "https://registry.npmjs.org"
    monkeypatch.setenv("npm_config_registry", "https://npm.example.org/all/")
    assert runtime.registry() == "https://npm.example.org/all"


def test_a_cache_that_cannot_be_written_is_said_in_a_line(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TOOLKIT_CACHE", str(tmp_path / "file"))
    with pytest.raises(ToolkitError, match=r"export_html: expected room for onnxruntime-web-.* Set TOOLKIT_CACHE to"):
        runtime.onnxruntime_web()


def test_both_formats_at_once_are_refused(tmp_path):
    done = run("export", NETWORK, "--onnx", "--html")
    assert done.returncode == 2 and "export: expected --onnx or --html; got both." in done.stderr


def test_the_page_says_what_onnx_files_say_and_whose_the_runtime_is(exported):
    about = json.loads(held(exported, "about"))
    assert about["low_trust"] == LOW and about["resolution"] == 64 and len(about["palette"]) == 10
    assert "Permission is hereby granted" in exported.read_text("utf-8")  # as ONNX Runtime's licence wants it
