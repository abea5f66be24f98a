"""``iscc-cache view``: a sequence in the viewer rerun, in a window or in a browser. Nothing leaves the machine.

Left alone, rerun sends statistics of its use, loads fonts and lists of examples from the internet, and listens on all
network interfaces. In a window it gets an environment in which it sends none, and no way to the internet. The pages for
a browser, which would send statistics too, are taken from rerun and served from here with a Content-Security-Policy
that allows the browser to talk to this server alone.
"""

from __future__ import annotations

import http.client
import importlib.util
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import webbrowser
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

from iscc_lidar.shared.base.errors import UserError, missing_package
from iscc_lidar.shared.base.text import one_line
from iscc_lidar.shared.export.rerun import write_recording

if TYPE_CHECKING:
    from iscc_lidar.shared.cache.reader import Cache

LOOPBACK: Final = "127.0.0.1"
POLICY: Final = (
    "default-src 'none'; script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self' blob: data:; worker-src 'self' blob:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_NOWHERE: Final = f"http://{LOOPBACK}:9"
"""A proxy that is none: what asks it for the internet gets an error at once."""
_PAGES: Final = {
    "": "text/html",
    "re_viewer.js": "text/javascript",
    "re_viewer_bg.wasm": "application/wasm",
    "favicon.ico": "image/x-icon",
}
_RECORDING: Final = "sequence.rrd"
_START_S: Final = 60.0
_OUTSIDE: Final = re.compile(rb"<link[^>]*https?:[^>]*>")
"""Fonts, which would be asked for at other servers."""


def view_sequence(cache: Cache, sequence: str, min_confidence: float, *, web: bool, port: int) -> None:
    """Show a sequence until the window is closed or, with ``web``, until Ctrl-C; ``port`` is that of the web server.

    Raises UserError where rerun is missing, or there is no screen, or the port is taken.
    """
    program = _program()
    if not web:
        _require_screen()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the recording is removed, and the viewer ended
    with tempfile.TemporaryDirectory(prefix="iscc-view-") as folder:
        recording = Path(folder) / _RECORDING
        if web:
            with _server(port) as server:
                write_recording(cache, sequence, recording, min_confidence)
                server.offer(_pages(program), recording)
                _serve(server)
        else:
            write_recording(cache, sequence, recording, min_confidence)
            _open_window(program, recording)


def _program() -> Path:
    """Find rerun's program, which comes with its package."""
    found = importlib.util.find_spec("rerun_cli")
    if found is None or found.origin is None:
        raise missing_package("iscc-cache view", "rerun-sdk", "view")
    folder = Path(found.origin).parent
    names = ("rerun", "rerun.exe", "Rerun.app/Contents/MacOS/Rerun")
    programs = [folder / name for name in names if (folder / name).is_file()]
    if not programs:
        raise UserError(f"{folder}: contains no program rerun; install the package rerun-sdk again")
    return programs[0]


def _require_screen() -> None:
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise UserError("no screen here (neither DISPLAY nor WAYLAND_DISPLAY is set); show it in a browser: --web")


def quiet(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which rerun sends no statistics, and reaches this machine alone."""
    kept = {name: value for name, value in environment.items() if not name.startswith(("OTEL_", "FORCE_RERUN_"))}
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), _NOWHERE)
    proxies |= {name.upper(): value for name, value in proxies.items()}
    local = dict.fromkeys(("no_proxy", "NO_PROXY"), f"localhost,{LOOPBACK}")
    return {**kept, **proxies, **local, "CI": "true", "TELEMETRY_ENABLED": "false"}  # CI: rerun sends no statistics


def _open_window(program: Path, recording: Path) -> None:
    command = [str(program), str(recording), "--bind", LOOPBACK, "--port", "auto", "--hide-welcome-screen"]
    viewer = subprocess.Popen(command, env=quiet(os.environ), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    with _ended(viewer):
        _, said = viewer.communicate()
    if viewer.returncode:
        last = said.decode(errors="replace").strip().splitlines()[-1:] or [f"status {viewer.returncode}"]
        raise UserError(f"the viewer rerun failed: {one_line(last[0]):.300}; show it in a browser: --web")


@contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """End a process at the end, whatever happens."""
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _pages(program: Path) -> dict[str, bytes]:
    """Get the pages of rerun's web viewer, which its program serves; links to other servers are taken out."""
    with socket.socket() as free:
        free.bind((LOOPBACK, 0))
        port = free.getsockname()[1]
    command = [str(program), "--serve-web", "--bind", LOOPBACK, "--port", "auto", "--web-viewer-port", str(port)]
    server = subprocess.Popen(
        command, env=quiet(os.environ), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
    )
    with _ended(server):
        found = {name: _page(server, port, name) for name in _PAGES}
    return {**found, "": _OUTSIDE.sub(b"", found[""])}


def _page(server: subprocess.Popen[bytes], port: int, name: str) -> bytes:
    until = time.monotonic() + _START_S
    while True:
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=_START_S)
        try:
            connection.request("GET", f"/{name}")
            answer = connection.getresponse()
            content = answer.read()
        except ConnectionRefusedError:
            if server.poll() is not None or time.monotonic() > until:
                raise UserError("the viewer rerun does not serve its pages; install rerun-sdk again") from None
            time.sleep(0.1)
            continue
        finally:
            connection.close()
        if answer.status != http.HTTPStatus.OK:
            raise UserError(f"the viewer rerun has no page {name!r}; this version of rerun-sdk is not supported")
        return content


class _Server(ThreadingHTTPServer):
    """Serves pages and one recording, below a path that only who started it knows."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__((LOOPBACK, port), _Handler)
        self._files: dict[str, tuple[str, bytes | Path]] = {}
        self._path = f"/{secrets.token_urlsafe(16)}/"

    @property
    def address(self) -> str:
        """What to open in a browser of this machine."""
        here = f"http://{LOOPBACK}:{self.server_address[1]}{self._path}"
        return f"{here}?hide_welcome_screen&url={quote(here + _RECORDING, safe='')}"

    def offer(self, pages: Mapping[str, bytes], recording: Path) -> None:
        """Give it what to serve."""
        self._files = {self._path + name: (_PAGES[name], content) for name, content in pages.items()}
        self._files[self._path + _RECORDING] = ("application/octet-stream", recording)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a browser that closes its connection."""

    def find(self, path: str) -> tuple[str, bytes | Path] | None:
        """Return type and content of what is at a path, or None."""
        return self._files.get(path)


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        """Answer, if the browser was sent here by this machine's name: another site's name could lead here too."""
        asked = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        found = self.server.find(urlsplit(self.path).path)
        if asked not in (LOOPBACK, "localhost") or found is None:
            self.send_error(http.HTTPStatus.NOT_FOUND)
            return
        kind, content = found
        size = content.stat().st_size if isinstance(content, Path) else len(content)
        self.send_response(http.HTTPStatus.OK)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(size)),
            ("Content-Security-Policy", POLICY),
            ("Referrer-Policy", "no-referrer"),
            ("X-Content-Type-Options", "nosniff"),
            ("Cache-Control", "no-store"),
        ):
            self.send_header(name, value)
        self.end_headers()
        if isinstance(content, Path):
            with content.open("rb") as file:
                shutil.copyfileobj(file, self.wfile)
        else:
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


def _server(port: int) -> _Server:
    try:
        return _Server(port)
    except OSError as error:
        raise UserError(f"--port {port}: {error.strerror}; choose another one") from None


def _serve(server: _Server) -> None:
    print(f"open {server.address}\nCtrl-C ends it", flush=True)
    if sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(server.address)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print()
