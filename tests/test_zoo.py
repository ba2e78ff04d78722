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
            if self.path == "/cut.pkl":
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

    def publish(path, **facts):
        entry = Published(
            f"http://127.0.0.1:{server.server_port}{path}", "random pictures", "Nobody 2026", "for tests only", **facts
        )
        monkeypatch.setitem(zoo.REGISTRY, "tests-16", entry)
        return entry

    return publish


def cached():
    return sorted(p.name for p in (zoo.cache_folder() / "gans").glob("*"))


@pytest.mark.parametrize("path", ["/good.pkl", "/moved.pkl", "/slow.pkl"])
def test_a_published_gan_is_fetched_checked_and_converted_once(server, publish, content, capsys, path):
    sha256 = hashlib.sha256(content).hexdigest()
    entry = publish(path, sha256=sha256, size=len(content))
    gan = fewshot.load_gan("tests-16")
    told = capsys.readouterr().err
    assert "for tests only" in told and "Nobody 2026" in told and "no published checksum" not in told
    facts = {
        "draws": "random pictures",
        "licence": "for tests only",
        "credit": "Nobody 2026",
        "url": entry.url,
        "sha256": sha256,
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
    with pytest.raises(ToolkitError, match="got another file. Do not use it.*noted at the first download"):
        zoo.fetch("tests-16")


@pytest.mark.parametrize(
    "path, facts, message",
    [
        ("/good.pkl", {"sha256": "0" * 64}, "got another file. Do not use it"),
        ("/good.pkl", {"size": 12}, "12 bytes from .*; got "),
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
    assert entry.classes and entry.credit and entry.licence and name not in zoo.BUNDLED
    assert entry.url is None or entry.url.startswith("https://")
    assert entry.sha256 is None or (len(entry.sha256) == 64 and set(entry.sha256) <= set("0123456789abcdef"))


def test_addresses_and_checksums_are_each_given_once():
    entries = zoo.REGISTRY.values()
    for values in ([e.url for e in entries], [e.sha256 for e in entries if e.sha256]):
        assert len(set(values)) == len(values)


def test_names_files_and_neither(tmp_path):
    file = tmp_path / "gan.pt"
    file.touch()
    assert zoo.weights_path(file) == file
    assert zoo.weights_path(zoo.DEFAULT).name == f"{zoo.DEFAULT}.safetensors"
    with pytest.raises(ToolkitError, match=f"weights_path: expected one of {zoo.DEFAULT}.*got 'cats-9000'"):
        zoo.weights_path("cats-9000")
