"""Object stores that refuse, hang or lose an answer; the causes are named."""

from __future__ import annotations

import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import fsspec
import pytest

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.shared.store import remote
from iscc_lidar.shared.store.open import open_store
from iscc_lidar.shared.store.remote import RemoteStore


@pytest.mark.parametrize(
    "url",
    [
        "dask://x/y",
        "reference://x",
        "simplecache::s3://bucket/x",
        "s3://bucket/a::dask://b",
        "s3://bucket/a::reference",
        "filecache::file:///tmp/x",
        "http://host/cache",
        "memory://x",
        "local:///tmp",
        "github://a/b",
        "zip://a::s3://b/c.zip",
        "S3://bucket/a",
        "s3://bucket/\x1b[2J",
    ],
)
def test_only_object_stores_are_opened(url: str) -> None:
    with pytest.raises(UserError, match="not a URL of an object store; expected one of s3://") as error:
        open_store(url)
    assert str(error.value).isprintable()


def test_a_claim_whose_answer_was_lost_recognises_itself(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(f"{s3}/{uuid.uuid4().hex}")
    create = RemoteStore.create
    lost: list[str] = []

    def lose_the_answer(self: RemoteStore, name: str, content: bytes) -> bool:
        """The first request succeeds, its answer is lost, the repeated one finds its own file."""
        assert create(self, name, content)
        lost.append(name)
        return create(self, name, content)

    monkeypatch.setattr(RemoteStore, "create", lose_the_answer)
    with store.claim() as check:
        check()
    assert lost == [".owner"]
    assert store.names() == []


def test_a_claim_whose_answer_was_lost_for_good_is_not_left(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(f"{s3}/{uuid.uuid4().hex}")
    create = RemoteStore.create

    def fail(self: RemoteStore, name: str, content: bytes) -> bool:
        create(self, name, content)
        raise UserError("does not answer")

    with monkeypatch.context() as failing:
        failing.setattr(RemoteStore, "create", fail)
        with pytest.raises(UserError, match="does not answer"), store.claim():
            pass
    assert store.names() == []
    with store.claim():
        pass


@contextmanager
def endpoint(status: int, code: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server that gives every request one answer."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no \x85 luck</Message></Error>".encode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # which sends "100 Continue" before a PUT's content

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = answer

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.block_on_close = False
    threading.Thread(target=server.serve_forever, daemon=True).start()
    set_endpoint(monkeypatch, server.server_address[1])
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def set_endpoint(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    """Lead new file systems to a port: s3fs keeps one for each set of options."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
    account = f"BlobEndpoint=http://127.0.0.1:{port}/account;AccountName=account;AccountKey=a2V5"
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", f"DefaultEndpointsProtocol=http;{account}")
    monkeypatch.setattr(remote, "_CONNECT_S", 1)
    monkeypatch.setattr(remote, "_READ_S", 1)
    monkeypatch.setattr(remote, "_REQUEST_S", 1)
    options = remote._options

    def quick(protocol: str) -> dict[str, Any]:
        found = options(protocol)
        if protocol == "s3":
            found["endpoint_url"] = f"http://127.0.0.1:{port}"
            found["config_kwargs"]["retries"] = {"max_attempts": 0}
        return {**found, "skip_instance_cache": True} | ({"token": "anon"} if protocol == "gs" else {})

    monkeypatch.setattr(remote, "_options", quick)


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (403, "AccessDenied", "access is denied; these credentials may not do this"),
        (400, "ExpiredToken", "the credentials have expired; renew them"),
        (403, "InvalidAccessKeyId", "the credentials are not accepted"),
        (403, "SignatureDoesNotMatch", "the credentials are not accepted"),
        (404, "NoSuchBucket", "no such bucket; create it, or correct the name"),
    ],
)
def test_refusals_are_named_for_what_they_are(
    monkeypatch: pytest.MonkeyPatch, status: int, code: str, words: str
) -> None:
    with endpoint(status, code, monkeypatch):
        store = open_store("s3://bucket/cache")
        for act in (lambda: Cache("s3://bucket/cache"), lambda: store.write("a", b"1"), lambda: store.read("a")):
            with pytest.raises(UserError) as error:
                act()
            assert words in str(error.value), (code, str(error.value))
            assert str(error.value).isprintable()
        if code != "NoSuchBucket":  # no bucket, no file
            with pytest.raises(UserError, match=words):
                store.exists("manifest.json")  # HEAD gives no code


def test_a_hanging_endpoint_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        set_endpoint(monkeypatch, deaf.getsockname()[1])
        began = time.monotonic()
        with pytest.raises(UserError, match="does not answer; check the address and the network"):
            Cache("s3://bucket/cache")
        assert time.monotonic() - began < 30


def test_an_endpoint_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    set_endpoint(monkeypatch, port)
    with pytest.raises(UserError, match="cannot be reached; check the address and the network"):
        Cache("s3://bucket/cache")


@pytest.mark.parametrize("url", ["s3://bucket/cache", "gs://b/c", "gcs://b/c", "az://b/c", "abfs://b/c", "abfss://b/c"])
def test_every_object_store_is_given_limits_of_time(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(fsspec, "url_to_fs", lambda _, **options: (asked.append(options), (None, "b/c"))[1])
    assert RemoteStore(url)._location == (None, "b/c")
    (options,) = asked
    if url.startswith("s3"):
        limits = options["config_kwargs"]
        assert (limits["connect_timeout"], limits["read_timeout"], limits["retries"]) == (10, 30, {"max_attempts": 1})
    elif url.startswith("g"):
        timeout = options["requests_timeout"]
        assert (timeout.sock_connect, timeout.total) == (10, 180)
    else:
        assert options == {"connection_timeout": 10, "read_timeout": 30}


@pytest.mark.slow
@pytest.mark.parametrize(("package", "url"), [("gcsfs", "gs://bucket/cache"), ("adlfs", "az://bucket/cache")])
def test_other_hanging_endpoints_are_given_up(package: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(package)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        set_endpoint(monkeypatch, deaf.getsockname()[1])
        with pytest.raises(UserError, match="does not answer; check the address and the network"):
            open_store(url).read("a")


@pytest.mark.parametrize(("package", "url"), [("gcsfs", "gs://bucket/c"), ("adlfs", "az://bucket/c")])
def test_a_store_whose_package_is_missing_names_it(package: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=package):
        open_store(url).names()
