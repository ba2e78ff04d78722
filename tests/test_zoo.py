"""Published GANs by name, from a real server on this machine."""

import hashlib
import http.server
import socket
import threading
import time

import foreign_files
import pytest
from test_nvidia import pair

from toolkit import fewshot
from toolkit.errors import CheckpointError, ToolkitError
from toolkit.files import save_tensors
from toolkit.gan.files import zoo
from toolkit.gan.files.checkpoints import load_generator
from toolkit.gan.files.zoo import Published


class Handler(http.server.BaseHTTPRequestHandler):
    """/good.pkl is the file; the other paths go wrong in their own way."""

    def do_GET(self):
        content, asked = self.server.content, self.server.asked
        asked.append(self.path)
        if self.path == "/moved.pkl":
            self.send_response(302)
            self.send_header("Location", "/good.pkl")
            self.end_headers()
        elif self.path == "/absent.pkl":
            self.send_error(404)
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.path == "/other.pkl":
                self.wfile.write(content[::-1])
            elif self.path == "/cut.pkl":
                self.wfile.write(content[: len(content) // 2])
            elif self.path == "/stalled.pkl":
                self.wfile.write(content[:100])
                self.wfile.flush()
                time.sleep(3)
            elif self.path == "/slow.pkl":
                for i in range(0, len(content), len(content) // 5 + 1):
                    self.wfile.write(content[i : i + len(content) // 5 + 1])
                    self.wfile.flush()
                    time.sleep(0.05)
            else:
                self.wfile.write(content)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp("published") / "gan.pkl"
    foreign_files.write_nvidia(path, *pair())
    return path.read_bytes()


@pytest.fixture()
def server(content, monkeypatch, tmp_path):
    """The server; nothing else is asked, and the cache is empty."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.content, server.asked, server.daemon_threads = content, [], True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("TOOLKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture()
def publish(server, monkeypatch):
    """Put a path of the server into the registry, as "tests-16"."""

    def publish(path, mirrors=(), **facts):
        address = f"http://127.0.0.1:{server.server_port}"
        facts["mirrors"] = tuple(address + mirror for mirror in mirrors)
        entry = Published(address + path, "random pictures", "Nobody 2026", "for tests only", **facts)
        monkeypatch.setitem(zoo.REGISTRY, "tests-16", entry)
        return entry

    return publish


def cached():
    return sorted(p.name for p in (zoo.cache_folder() / "gans").glob("*"))


@pytest.mark.parametrize("path", ["/good.pkl", "/moved.pkl", "/slow.pkl"])
def test_a_published_gan_is_fetched_checked_and_converted_once(server, publish, content, capsys, path):
    sha256 = hashlib.sha256(content).hexdigest()
    entry = publish(path, sha256=sha256, size=len(content), sha256_from="a friend's list")
    gan = fewshot.load_gan("tests-16")
    told = capsys.readouterr().err
    assert "for tests only" in told and "Nobody 2026" in told and "no published checksum" not in told
    assert f"its sha256 is {sha256}, which is that of a friend's list" in told
    facts = {
        "draws": "random pictures",
        "licence": "for tests only",
        "credit": "Nobody 2026",
        "url": entry.url,
        "sha256": sha256,
        "sha256_from": "a friend's list",
    }
    assert {"name": "tests-16", **facts}.items() <= gan.metadata.items()
    assert cached() == ["tests-16.safetensors"]  # what was downloaded is gone
    requests = len(server.asked)
    server.shutdown()  # from here on there is no network
    assert fewshot.load_gan("tests-16").hash == gan.hash
    assert len(server.asked) == requests and "Licence" not in capsys.readouterr().err


def test_the_converted_file_is_the_same_gan(publish, content, tmp_path):
    publish("/good.pkl")
    (tmp_path / "gan.pkl").write_bytes(content)
    ours, original = load_generator(zoo.weights_path("tests-16")), load_generator(tmp_path / "gan.pkl")
    assert ours.hash == original.hash
    assert all((value == original.state_dict()[name]).all() for name, value in ours.state_dict().items())


def test_a_checksum_nobody_published_is_noted_and_holds_from_then_on(server, publish, content, capsys):
    publish("/good.pkl")
    path = zoo.fetch("tests-16")
    sha256 = hashlib.sha256(content).hexdigest()
    assert f"no published checksum; noted {sha256}" in capsys.readouterr().err
    path.unlink()
    zoo.fetch("tests-16")
    assert "noted" not in capsys.readouterr().err
    path.unlink()
    server.content = content + b"."
    with pytest.raises(ToolkitError, match="got another file. Do not use it.*, of the first download, must too"):
        zoo.fetch("tests-16")


@pytest.mark.parametrize(
    "path, facts, message",
    [
        ("/good.pkl", {"sha256": "0" * 64}, "got another file. Do not use it"),
        ("/good.pkl", {"size": 12}, "bytes instead of 12"),
        ("/cut.pkl", {}, "got no connection, or one that broke off"),
        ("/absent.pkl", {}, "got HTTP status 404"),
        ("/stalled.pkl", {}, "got no connection, or one that broke off"),
    ],
)
def test_what_goes_wrong_is_said_in_one_line_and_leaves_nothing(publish, monkeypatch, path, facts, message):
    monkeypatch.setattr(zoo, "TIMEOUT", 0.5)
    entry = publish(path, **facts)
    with pytest.raises(ToolkitError, match=f"load_gan: expected .*{message}") as error:
        zoo.fetch("tests-16")
    assert entry.url in str(error.value) and "\n" not in str(error.value)
    assert cached() == []


@pytest.mark.parametrize("path", ["/absent.pkl", "/cut.pkl", "/other.pkl", "/stalled.pkl"])
def test_a_mirror_is_tried_when_the_first_address_fails(server, publish, monkeypatch, content, capsys, path):
    monkeypatch.setattr(zoo, "TIMEOUT", 0.5)
    entry = publish(path, ["/absent.pkl", "/good.pkl"], sha256=hashlib.sha256(content).hexdigest())
    gan = fewshot.load_gan("tests-16")
    assert server.asked == [path, "/absent.pkl", "/good.pkl"]
    assert gan.metadata["url"] == entry.mirrors[1] and cached() == ["tests-16.safetensors"]
    told = capsys.readouterr().err
    assert f"tests-16: {entry.url} gave " in told and told.count("trying the next address") == 2


def test_a_mirror_with_another_file_is_not_believed(publish):
    entry = publish("/absent.pkl", ["/good.pkl"], sha256="0" * 64, sha256_from="a friend's list")
    with pytest.raises(ToolkitError, match="got HTTP status 404, then another file. Do not use it") as error:
        zoo.fetch("tests-16")
    assert entry.mirrors[0] in str(error.value) and "0, of a friend's list, must too" in str(error.value)
    assert cached() == []


def test_a_cache_that_cannot_be_written_is_named(publish, monkeypatch, tmp_path):
    publish("/good.pkl")
    (tmp_path / "file").touch()
    monkeypatch.setenv("TOOLKIT_CACHE", str(tmp_path / "file"))
    with pytest.raises(
        ToolkitError, match="expected room for tests-16 in the cache; got .*Set TOOLKIT_CACHE to a fold"
    ):
        zoo.fetch("tests-16")


def test_a_file_that_is_no_gan_leaves_nothing(server, publish):
    server.content = b"<html>Sign in first</html>"
    publish("/good.pkl")
    with pytest.raises(CheckpointError, match="convert: expected a StyleGAN2 file"):
        zoo.fetch("tests-16")
    assert cached() == []


def test_without_a_network_the_error_names_the_address(monkeypatch, tmp_path):
    monkeypatch.setenv("TOOLKIT_CACHE", str(tmp_path))
    with socket.socket() as taken:  # a port where nobody answers
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/gan.pkl"
        monkeypatch.setitem(zoo.REGISTRY, "tests-16", Published(url, "x", "x", "x"))
        with pytest.raises(ToolkitError, match="got no connection") as error:
            zoo.fetch("tests-16")
    assert f"download {url} by hand" in str(error.value)


def test_a_gan_without_an_address_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setenv("TOOLKIT_CACHE", str(tmp_path))
    with pytest.raises(ToolkitError, match="550000.pt .*Download it by hand and pass the file's path"):
        zoo.weights_path("rosinality-ffhq-256")


@pytest.mark.parametrize("name", zoo.REGISTRY)
def test_every_entry_is_complete(name):
    entry = zoo.REGISTRY[name]
    assert entry.classes and entry.credit and entry.licence and name not in zoo.bundled()
    assert entry.url is None or entry.url.startswith("https://")
    assert entry.sha256 is None or (len(entry.sha256) == 64 and set(entry.sha256) <= set("0123456789abcdef"))
    assert entry.sha256 is None or entry.sha256_from
    assert not entry.mirrors or entry.sha256  # nothing else tells a mirror's file from another


def test_addresses_and_checksums_are_each_given_once():
    entries = zoo.REGISTRY.values()
    for values in ([url for e in entries for url in (e.url, *e.mirrors)], [e.sha256 for e in entries if e.sha256]):
        assert len(set(values)) == len(values)


def test_names_files_and_neither(tmp_path):
    file = tmp_path / "gan.pt"
    file.touch()
    assert zoo.weights_path(file) == file
    assert zoo.weights_path(zoo.DEFAULT).name == f"{zoo.DEFAULT}.safetensors"
    with pytest.raises(ToolkitError, match=f"load_gan: expected one of {zoo.DEFAULT}.*got 'cats-9000'"):
        zoo.weights_path("cats-9000")


def test_what_the_published_facts_say():
    """Files of other networks have other sizes and checksums: a slip of the pen would refuse the right one."""
    sizes = {name: entry.size for name, entry in zoo.REGISTRY.items() if entry.size}
    assert sizes == {
        "ffhq-1024": 381_624_121,
        "stylegan2-ffhq-1024": 381_673_535,
        "car-512": 364_027_523,
        "horse-256": 357_418_027,
        "cat-256": 357_418_027,
        "church-256": 357_418_027,
        "self-distilled-horses-256": 357_336_721,
    }
    checked = {name for name, entry in zoo.REGISTRY.items() if entry.sha256}
    assert checked == sizes.keys() | {"metfaces-1024", "afhqcat-512", "afhqdog-512", "ngc-ffhq-512"}
    free = {name for name, entry in zoo.REGISTRY.items() if entry.licence.startswith("CC-BY-4.0")}
    assert len(free) == 7 and all(name.startswith("self-distilled-") for name in free)
    assert sum("api.ngc.nvidia.com" in (entry.url or "") for entry in zoo.REGISTRY.values()) == 15


def test_gans_in_the_weights_folder_have_names(monkeypatch, tmp_path, tiny_gan_file):
    monkeypatch.setattr(zoo, "folder", lambda: tmp_path)
    for name in ("my-cats", zoo.DEFAULT):
        (tmp_path / f"{name}.safetensors").write_bytes(tiny_gan_file.read_bytes())
    save_tensors(tmp_path / "my-cats-autoshot.safetensors", {}, {"format": "autoshot"})
    (tmp_path / "broken.safetensors").write_bytes(b"no")
    assert zoo.bundled() == (zoo.DEFAULT, "my-cats")
    assert zoo.weights_path("my-cats") == tmp_path / "my-cats.safetensors"
    with pytest.raises(ToolkitError, match="one of faces-128, my-cats, ffhq-1024"):
        zoo.weights_path("../my-cats")
