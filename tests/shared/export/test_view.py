"""The viewer: what it is started with, and that what is served reaches this machine's browsers alone.

A program of a few lines stands in for rerun's, which needs a screen.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.export import view

RERUN = f"""#!{sys.executable}
import http.server, json, os, sys
from pathlib import Path

arguments = sys.argv[1:]
Path(os.environ["NOTES"]).write_text(json.dumps([arguments, dict(os.environ)]))
if "--serve-web" in arguments:
    class Pages(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            page = b'<head><link rel="x"\\n href="https://fonts.example.com" /><link href="favicon.ico"></head>'
            known = ("/", "/re_viewer.js", "/re_viewer_bg.wasm", "/favicon.ico")
            self.send_response(200 if self.path in known else 404)
            self.end_headers()
            self.wfile.write(page if self.path == "/" else self.path.encode())
    port = int(arguments[arguments.index("--web-viewer-port") + 1])
    http.server.ThreadingHTTPServer(("127.0.0.1", port), Pages).serve_forever()
print("rerun speaks", file=sys.stderr)
sys.exit(int(os.environ.get("STATUS", "0")))
"""


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install the stand-in, on the module path; it writes its arguments and environment to this file."""
    package = tmp_path / "packages/rerun_cli"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "rerun").write_text(RERUN)
    (package / "rerun").chmod(0o755)
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.delitem(sys.modules, "rerun_cli", raising=False)
    monkeypatch.setenv("NOTES", str(tmp_path / "notes.json"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(package.parent), os.environ.get("PYTHONPATH", "")]))
    return tmp_path / "notes.json"


def write_something(cache: Cache, sequence: str, path: Path, min_confidence: float) -> None:
    path.write_text(f"{sequence} {min_confidence}")


@pytest.fixture
def recordings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a text in place of a recording, for which rerun is needed."""
    monkeypatch.setattr(view, "write_recording", write_something)


@pytest.mark.usefixtures("recordings")
def test_the_window_gets_no_way_to_other_machines(
    tiny_cache: Path, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPLAY", ":7")
    monkeypatch.setenv("FORCE_RERUN_ANALYTICS", "1")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com")
    before = signal.getsignal(signal.SIGTERM)
    try:
        view.view_sequence(Cache(tiny_cache), "01", 0.3, web=False, port=0)
    finally:
        signal.signal(signal.SIGTERM, before)
    arguments, environment = json.loads(notes.read_text())
    assert not Path(arguments[0]).parent.exists(), "the recording is removed"
    assert arguments[1:] == ["--bind", "127.0.0.1", "--port", "auto", "--hide-welcome-screen"]
    assert (environment["CI"], environment["TELEMETRY_ENABLED"]) == ("true", "false")
    assert "FORCE_RERUN_ANALYTICS" not in environment
    proxies = {name: value for name, value in environment.items() if name.lower().endswith("_proxy")}
    assert {value for name, value in proxies.items() if name.lower() != "no_proxy"} == {"http://127.0.0.1:9"}
    assert {"https_proxy", "HTTPS_PROXY", "ALL_PROXY"} < set(proxies)


@pytest.mark.usefixtures("recordings", "notes")
def test_a_viewer_that_fails_is_one_line(tiny_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":7")
    monkeypatch.setenv("STATUS", "3")
    with pytest.raises(UserError, match=r"^the viewer rerun failed: rerun speaks; show it in a browser: --web$"):
        view.view_sequence(Cache(tiny_cache), "01", 0.3, web=False, port=0)


@pytest.mark.usefixtures("notes")
def test_without_a_screen_the_browser_is_advised(tiny_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(UserError, match=r"no screen here.*: --web"):
        view.view_sequence(Cache(tiny_cache), "01", 0.3, web=False, port=0)


def test_without_rerun_the_extra_is_named(tiny_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'package rerun-sdk, which is not installed.*pip install "\.\[view\]"$'):
        view.view_sequence(Cache(tiny_cache), "01", 0.3, web=True, port=0)


class Served:
    """A server under test, in a thread."""

    def __init__(self, recording: Path) -> None:
        self.server = view._server(0)
        self.server.offer({"": b"page", "re_viewer.js": b"code"}, recording)
        self.port = int(self.server.server_address[1])
        self.path = urlsplit(self.server.address).path

    def get(self, path: str, host: str | None = None, method: str = "GET") -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, path, headers={} if host is None else {"Host": host})
        return connection.getresponse()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    (tmp_path / "sequence.rrd").write_bytes(b"recorded" * 100_000)
    found = Served(tmp_path / "sequence.rrd")
    thread = threading.Thread(target=found.server.serve_forever)
    thread.start()
    yield found
    found.server.shutdown()
    thread.join()
    found.server.server_close()


def test_pages_and_recording_are_served_with_a_policy(served: Served) -> None:
    for name, content in (("", b"page"), ("re_viewer.js", b"code"), ("sequence.rrd", b"recorded" * 100_000)):
        answer = served.get(served.path + name + "?renderer=webgl")
        assert answer.read() == content
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        sources = next(part for part in policy.split("; ") if part.startswith("connect-src")).split()[1:]
        assert sources == ["'self'", "blob:", "data:"], "a page may talk to this server alone"
        assert "Access-Control-Allow-Origin" not in answer.headers
    query = parse_qs(urlsplit(served.server.address).query)
    assert query["url"] == [f"http://127.0.0.1:{served.port}{served.path}sequence.rrd"]


def test_others_get_nothing(served: Served) -> None:
    for path, host in (
        ("/", None),
        ("/sequence.rrd", None),
        (served.path + "sequence.rrd", "evil.example.com"),
        (served.path + "sequence.rrd", f"evil.example.com:{served.port}"),
        (served.path + "sequence.rrd", ""),
        (served.path + "../sequence.rrd", None),
        (served.path + "other.rrd", None),
        (served.path + "signed-in", None),
    ):
        assert served.get(path, host).status == 404, (path, host)
    assert served.get(served.path, method="POST").status == 501
    assert served.get(served.path, f"localhost:{served.port}").status == 200


def test_the_server_listens_on_the_loopback_address_alone(served: Served) -> None:
    assert served.server.server_address[0] == "127.0.0.1"
    outside = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None)} - {"127.0.0.1", "::1"}
    for address in outside:
        with contextlib.suppress(OSError):
            if not str(address).startswith("127."):
                socket.create_connection((address, served.port), timeout=5).close()
                raise AssertionError(address)


def test_a_port_that_is_taken_is_named(served: Served) -> None:
    with pytest.raises(UserError, match=rf"--port {served.port}: .*; choose another one"):
        view._server(served.port)


def test_pages_lose_links_to_other_servers(notes: Path) -> None:
    program = view._program()
    pages = view._pages(program)
    assert pages[""] == b'<head><link href="favicon.ico"></head>'
    assert pages["re_viewer_bg.wasm"] == b"/re_viewer_bg.wasm"
    arguments, environment = json.loads(notes.read_text())
    assert arguments[:5] == ["--serve-web", "--bind", "127.0.0.1", "--port", "auto"]
    assert environment["CI"] == "true"


def test_the_command_serves_until_it_is_interrupted(tiny_cache: Path, notes: Path, tmp_path: Path) -> None:
    pytest.importorskip("rerun", reason="rerun-sdk, of the extra view, is not installed")
    call = [sys.executable, "-m", "iscc_lidar.shared.cache_cli", "view", str(tiny_cache), "01", "--web", "--port", "0"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)} | dict.fromkeys(("DISPLAY", "WAYLAND_DISPLAY"), "")
    with subprocess.Popen(call, stdout=subprocess.PIPE, text=True, env=environment) as command:
        assert command.stdout is not None
        address = urlsplit(command.stdout.readline().removeprefix("open "))
        connection = http.client.HTTPConnection(str(address.hostname), int(address.port or 0), timeout=30)
        connection.request("GET", f"{address.path}sequence.rrd")
        assert connection.getresponse().read(4) == b"RRF2"
        time.sleep(0.1)
        command.send_signal(signal.SIGINT)
        assert command.wait(60) == 0
    assert not list(tmp_path.glob("iscc-view-*"))
