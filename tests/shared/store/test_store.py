"""A local folder and an S3 bucket keep the same promises."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import zarr

from iscc_lidar.shared.base import files
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.store import claims as remote_claim
from iscc_lidar.shared.store.local import LocalStore
from iscc_lidar.shared.store.open import open_store
from iscc_lidar.shared.store.owner import ClaimedError
from iscc_lidar.shared.store.store import Store


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "local":
        return open_store(tmp_path / "cache")
    return open_store(f"{request.getfixturevalue('s3')}/{uuid.uuid4().hex}")


def test_files_are_written_read_listed_and_removed(store: Store) -> None:
    assert store.names() == []
    assert store.files("") == {}
    assert not store.exists("a")
    with pytest.raises(FileNotFoundError):
        store.read("a")
    with pytest.raises(FileNotFoundError):
        store.sha256("a")
    store.write("a", b"one")
    store.write("b/c/d", b"four")
    store.write("a", b"three")
    assert store.exists("a")
    assert not store.exists("b")
    assert store.read("a") == b"three"
    assert store.sha256("a") == "8b5b9db0c13db24256c829aa364aa90c6d2eba318b9232a4ab9313b954d3555f"
    assert store.files("") == {"a": 5, "b/c/d": 4}
    assert store.files("b") == {"c/d": 4}
    assert [name for name in store.names() if not name.startswith(".")] == ["a", "b"]
    store.remove("b")
    store.remove("nothing")
    assert store.files("") == {"a": 5}


def test_a_folder_appears_with_its_last_file_or_not_at_all(store: Store) -> None:
    with store.new_folder("x/y", last="z") as folder:
        (folder / "z").write_bytes(b"1")
        (folder / "deep").mkdir()
        (folder / "deep/a").write_bytes(b"22")
        assert store.files("x") == {}
    assert store.files("x/y") == {"z": 1, "deep/a": 2}
    with suppress(RuntimeError), store.new_folder("x/w", last="z") as folder:
        (folder / "z").write_bytes(b"1")
        raise RuntimeError
    assert store.files("x/w") == {}
    with store.new_folder("x/y", last="z") as folder:
        (folder / "z").write_bytes(b"333")
    assert store.files("") == {"x/y/z": 3}


def test_what_lies_at_temporary_names_is_removed_and_never_followed(tmp_path: Path) -> None:
    root, outside = tmp_path / "cache", tmp_path / "outside"
    (root / ".aside").mkdir(parents=True)
    outside.mkdir()
    (outside / "kept").touch()
    for number, target in enumerate((outside, outside / "kept", outside / "gone")):
        (root / f".aside/.aside.{number}.tmp").symlink_to(target)
    os.mkfifo(root / ".aside/.aside.3.tmp")
    (root / ".aside/.aside.4.tmp").mkdir()
    (root / ".aside/.aside.4.tmp/link").symlink_to(outside)
    with open_store(root).claim():
        assert not (root / ".aside").exists()
    assert os.listdir(outside) == ["kept"]


@pytest.mark.parametrize("what", ["link", "fifo", "file"])
def test_nothing_is_written_where_the_folder_of_temporary_files_is_something_else(tmp_path: Path, what: str) -> None:
    root, outside = tmp_path / "cache", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    if what == "link":
        (root / ".aside").symlink_to(outside)
    elif what == "fifo":
        os.mkfifo(root / ".aside")
    else:
        (root / ".aside").touch()
    local = open_store(root)
    for act in (lambda: local.write("a", b"1"), lambda: local.create("a", b"1"), lambda: make_block(local)):
        with pytest.raises((UserError, OSError), match=r"\.aside: is a link|cache/a|cache/block"):
            act()
    assert (os.listdir(root), os.listdir(outside)) == ([".aside"], [])


def make_block(store: Store) -> None:
    with store.new_folder("block", last="z") as folder:
        (folder / "z").touch()


def test_arrays_are_read_in_place(store: Store) -> None:
    with store.new_folder("block", last="last") as folder:
        zarr.create_array(folder / "a", data=np.arange(10), chunks=(4,))
        (folder / "last").touch()
    np.testing.assert_array_equal(store.array("block/a")[2:7], np.arange(2, 7))


def test_one_alone_or_several_by_name(store: Store) -> None:
    with store.claim():
        for name in (None, "part-1"):
            with pytest.raises(ClaimedError, match=f"process {os.getpid()} on {socket.gethostname()} works on it"):
                enter(store, name)
    with store.claim("part-1"), store.claim("part-2"):
        for name in (None, "part-1"):
            with pytest.raises(ClaimedError, match=f"process {os.getpid()} on {socket.gethostname()} works on it"):
                enter(store, name)
    with store.claim():
        pass


def enter(store: Store, name: str | None) -> None:
    with store.claim(name):
        pass


OWNER = """
import sys, time
from iscc_lidar.shared.store.open import open_store
with open_store(sys.argv[1]).claim(sys.argv[2] or None):
    print("claimed", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("name", ["", "part-1"])
def test_a_dead_owners_claim_is_taken_over(store: Store, name: str) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, store.url, name], stdout=subprocess.PIPE)
    try:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"claimed\n"
        with pytest.raises(ClaimedError, match=f"process {owner.pid} "):
            enter(store, None)
        owner.send_signal(signal.SIGSTOP)  # slow is not dead
        with pytest.raises(ClaimedError, match=f"process {owner.pid} "):
            enter(store, None)
    finally:
        owner.kill()
        owner.wait()
    with store.claim(name or None):
        pass
    with store.claim():
        pass


RACER = """
import sys, time
from iscc_lidar.shared.store.owner import ClaimedError
from iscc_lidar.shared.store.open import open_store
store = open_store(sys.argv[1])
try:
    with store.claim():
        time.sleep(5)
        print("worked")
except ClaimedError:
    print("refused")
"""


def test_of_many_that_take_over_at_once_one_works(store: Store) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, store.url, ""], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    assert owner.stdout.readline() == b"claimed\n"
    owner.kill()
    owner.wait()
    racers = [subprocess.Popen([sys.executable, "-c", RACER, store.url], stdout=subprocess.PIPE) for _ in range(5)]
    printed = sorted(racer.communicate()[0] for racer in racers)
    assert printed == [b"refused\n"] * 4 + [b"worked\n"]


def test_an_owner_on_another_machine_lives_as_long_as_it_renews_its_claim(
    s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_claim, "BEAT_S", 0.2)
    monkeypatch.setattr(remote_claim, "DEAD_AFTER_S", 2.0)
    store = open_store(f"{s3}/{uuid.uuid4().hex}")
    with store.claim(), monkeypatch.context() as elsewhere:
        elsewhere.setattr(socket, "gethostname", lambda: "elsewhere")
        with pytest.raises(ClaimedError):
            enter(store, None)
    store.write(".owner", json.dumps({"host": "elsewhere", "pid": 1, "token": "of a dead one"}).encode())
    before = time.monotonic()
    enter(store, None)
    assert time.monotonic() - before > 2


def test_of_a_chain_of_dead_owners_nothing_is_left(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_claim, "DEAD_AFTER_S", 0.0)
    store = open_store(f"{s3}/{uuid.uuid4().hex}")
    for name, token in ((".owner", "a"), (".owner.after-a", "b"), (".owner.after-nobody", "c")):
        store.write(name, json.dumps({"host": "elsewhere", "pid": 1, "token": token}).encode())
    store.write(".owner-part-1", b"damaged")
    with store.claim():
        assert ".owner.after-b" in store.names()
    assert store.names() == [".owner-part-1", ".owner.after-nobody"]
    with store.claim("part-1"):
        pass
    assert store.names() == [".owner.after-nobody"]
    enter(store, None)


def test_an_owner_whose_claim_was_taken_over_notices_before_it_declares_anything_done(
    s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_claim, "BEAT_S", 60.0)
    monkeypatch.setattr(remote_claim, "DEAD_AFTER_S", 0.0)  # as if it had been stopped for a minute
    store = open_store(f"{s3}/{uuid.uuid4().hex}")
    with store.claim() as must_hold:
        must_hold()
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(socket, "gethostname", lambda: "elsewhere")
            with store.claim() as they_must:
                they_must()
                with pytest.raises(UserError, match="another took over its work"):
                    must_hold()
            with store.claim() as they_must, pytest.raises(UserError, match="another took over its work"):
                must_hold()
    assert store.names() == []


def test_a_url_that_cannot_be_opened_is_a_message(s3: str) -> None:
    with pytest.raises(UserError, match="nonsense://a/b: not a URL of an object store"):
        open_store("nonsense://a/b").exists("c")
    with pytest.raises(UserError, match="no-such-bucket"):
        open_store("s3://no-such-bucket/cache").write("a", b"")
    assert not open_store("s3://no-such-bucket/cache").exists("manifest.json")


def test_a_disk_error_while_a_file_is_created_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of the folder's flush comes after the file is in place."""
    store = LocalStore(tmp_path, aside=".")

    def fail(folder: Path) -> None:
        raise OSError(errno.EIO, "Input/output error", str(folder))

    monkeypatch.setattr(files, "_sync_folder", fail)
    with pytest.raises(OSError, match="Input/output error"):
        store.create("claim", b"mine")
    assert list(tmp_path.iterdir()) == []
