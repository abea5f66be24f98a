"""Nothing in a run folder makes report or export open anything but a cache on this machine."""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path

import pytest
from fsspec.implementations.local import LocalFileSystem
from typer.testing import CliRunner

from iscc_lidar.trainer.cli import app

OPENED: list[str] = []


class Trap(LocalFileSystem):  # type: ignore[misc]
    """A file system that notes that it was made."""

    cachable = False
    protocol = ("trap",)

    def __init__(self, *args: object, **options: object) -> None:
        OPENED.append(repr(args))
        super().__init__()


@pytest.fixture(autouse=True)
def trap(monkeypatch: pytest.MonkeyPatch) -> None:
    known = importlib.import_module("fsspec.registry")._registry
    for name in ("trap", "reference", "dask", "s3", "http", "https", "simplecache", "zip"):
        monkeypatch.setitem(known, name, Trap)
    OPENED.clear()


def with_cache(run: Path, cache: object, to: Path) -> Path:
    copy = Path(shutil.copytree(run, to))
    content = json.loads((copy / "config.json").read_text())
    content["provenance"]["cache"] = cache
    (copy / "config.json").write_text(json.dumps(content))
    return copy


@pytest.mark.parametrize(
    "url",
    [
        *("trap://x", "dask://host/x", "reference://x", "s3://bucket/x", "http://127.0.0.1:9/x", "TRAP://x"),
        *("simplecache::trap://x", "zip://a::trap://x", "file:///etc", "local:///etc", "simplecache::/etc"),
        *("", "/dev/null", "/proc/self/fd/0", "gone", "a\x00b", "a\x1b[31mb", "x" * 5000, "\ud800"),
    ],
)
def test_a_recorded_url_is_not_opened(run: Path, tmp_path: Path, url: str):
    copy = with_cache(run, url, tmp_path / "run")
    done = CliRunner().invoke(app, ["report", str(copy)])
    assert done.exit_code == 0, done.output
    page = (copy / "report.html").read_text(encoding="utf-8")
    assert "No pictures: " in page
    assert "--cache CACHE" in page
    assert "data:image/png" not in page
    assert "\x1b" not in page
    done = CliRunner().invoke(app, ["export", str(copy), "--to", "native"])
    assert done.exit_code == 0, done.output
    card = (copy / "export/native/MODEL_CARD.md").read_text(encoding="utf-8")
    assert "--cache" in card
    assert OPENED == []


def test_a_url_is_opened_where_the_user_gives_it(run: Path, tmp_path: Path):
    done = CliRunner().invoke(app, ["report", str(run), "--cache", "trap://x", "--out", str(tmp_path / "page.html")])
    assert done.exit_code == 1
    assert not (tmp_path / "page.html").exists()


def test_a_recorded_cache_that_is_damaged_costs_the_pictures_only(run: Path, cache_path: Path, tmp_path: Path):
    broken = Path(shutil.copytree(cache_path, tmp_path / "cache"))
    shutil.rmtree(broken / "01/arrays.zarr/label")
    copy = with_cache(run, str(broken), tmp_path / "run")
    done = CliRunner().invoke(app, ["report", str(copy)])
    assert done.exit_code == 0, done.output
    page = (copy / "report.html").read_text(encoding="utf-8")
    assert "No pictures: " in page
    assert "01/arrays.zarr/label" in page
    assert CliRunner().invoke(app, ["report", str(copy), "--cache", str(broken)]).exit_code == 1
