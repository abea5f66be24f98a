"""Pages that repeat what the code defines agree with it."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from iscc_lidar.data_schemas.boxes import Boxes, Camera
from iscc_lidar.data_schemas.manifest import FORMAT_MAJOR, FORMAT_MINOR
from iscc_lidar.data_schemas.sweep import Sweep
from iscc_lidar.data_schemas.tables import BOXES, SWEEPS
from iscc_lidar.preprocess.datasets._folder.options import FolderOptions
from iscc_lidar.preprocess.datasets.registry import DataProblem, Dataset, HasRawLabels, HasWarnings
from iscc_lidar.shared.layouts.layout import Layout
from iscc_lidar.trainer.evaluation.probes import NeighbourConfig
from iscc_lidar.trainer.pretrain.config import PretrainTrainConfig

from make_golden import GOLDEN

REPOSITORY = Path(__file__).resolve().parent.parent
PAGES = [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md"), *REPOSITORY.glob("data_schemas/*.md")]
ARROW = {
    "int32": pa.int32(),
    "int64": pa.int64(),
    "uint32": pa.uint32(),
    "float64": pa.float64(),
    "float32": pa.float32(),
}
ARROW |= {"float32": pa.float32(), "string": pa.string(), "bool": pa.bool_()}


def text(name: str) -> str:
    return (REPOSITORY / name).read_text("utf-8")


def arrow_type(described: str) -> pa.DataType:
    """Parse a type as FORMAT.md writes it."""
    if described.startswith("struct of "):
        parts = re.findall(r"`(\w+)` ([^,]+)", described)
        return pa.struct([pa.field(name, arrow_type(of), nullable=False) for name, of in parts])
    if described.startswith("list of "):
        return pa.list_(arrow_type(described.removeprefix("list of ")))
    if found := re.fullmatch(r"(\w+) \[(\d+)\]", described):
        return pa.list_(ARROW[found[1]], int(found[2]))
    return ARROW[described]


def stated_types(table: str) -> dict[str, str]:
    section = text("data_schemas/FORMAT.md").split(f"## `{table}`\n")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| (.+?) \| ", section, re.MULTILINE))


@pytest.mark.parametrize("table", ["sweeps.parquet", "groups.parquet", "tracks.parquet"])
def test_the_types_on_the_page_are_those_in_the_files_of_the_golden_cache(table: str) -> None:
    version = GOLDEN / f"{FORMAT_MAJOR}.{FORMAT_MINOR}"
    written = pq.read_schema(next(version.glob(f"sequences/*/*/{table}")))
    stated = stated_types(table)
    assert set(stated) == set(written.names)
    for name, described in stated.items():
        if name == "crc32":
            continue  # described in words, as it depends on the arrays that a block has
        assert arrow_type(described) == written.field(name).type, name


def test_the_types_of_boxes_on_the_page_are_those_of_the_schema() -> None:
    stated = {name: arrow_type(described) for name, described in stated_types("boxes.parquet").items()}
    assert stated == dict(zip(BOXES.names, BOXES.types, strict=True))
    assert arrow_type(stated_types("sweeps.parquet")["camera"]) == SWEEPS.field("camera").type


def test_a_new_dataset_is_described_with_every_field() -> None:
    page = text("docs/adding-a-dataset.md")
    known = [field.name for record in (Layout, Sweep, Boxes, Camera, DataProblem) for field in fields(record)]
    known += [n for door in (Dataset, HasRawLabels, HasWarnings) for n in vars(door) if not n.startswith("_")]
    assert [name for name in dict.fromkeys(known) if f"`{name}" not in page and f"    {name}=" not in page] == []


def test_every_option_of_own_recordings_is_described() -> None:
    page = text("docs/own-data.md")
    assert [f.name for f in fields(FolderOptions) if not re.search(rf"\b{f.name}=", page)] == []


def test_figures_of_the_neighbour_probe_are_its_defaults() -> None:
    page = text("docs/evaluation.md").replace("\n", " ")
    stated = re.search(r"the (\d+) most similar .*?cosine / ([\d.]+)\).*?At most (\d+) *voxels per class", page)
    defaults = NeighbourConfig()
    assert stated is not None
    assert stated.groups() == (str(defaults.k), str(defaults.temperature), str(defaults.per_class))


def test_the_length_of_the_preset_full_is_as_stated() -> None:
    epochs = PretrainTrainConfig().steps * 8 / 19_130  # minkunet's batch, SemanticKITTI's training sweeps
    assert f"{epochs:.1f} epochs" in text("docs/reproducing.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_nothing_is_installed_by_a_name_that_nobody_registered(page: Path) -> None:
    assert re.findall(r"pip install[^\n]*iscc-lidar", page.read_text("utf-8")) == []


def test_no_message_installs_a_name_that_nobody_registered() -> None:
    parts = ("preprocess", "trainer", "shared", "data_schemas", "tests/benchmarks")
    files = [
        f for part in parts for f in (REPOSITORY / part).rglob("*") if f.suffix in (".py", ".md", ".tmpl", ".toml")
    ]
    assert [str(f) for f in files if re.search(r"pip install[^\n]*iscc-lidar", f.read_text("utf-8"))] == []


def test_the_reference_of_commands_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "docs/commands.py", "--check"], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as code hosts and MyST make them."""
    plain = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", plain, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_link_leads_somewhere(page: Path) -> None:
    plain = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", plain):
        if re.match("[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        found = (page.parent / file).resolve() if file else page
        assert found.exists(), target
        if anchor:
            assert anchor in anchors(found), target


ANSWERS = {
    "is it ready?": ("docs/limitations.md", "## What the program does not do"),
    "my own data": ("docs/own-data.md", "## What is found in the data"),
    "add a method": ("docs/adding-a-method.md", "## Example: alignment without negatives"),
    "labels only": ("docs/labels-only.md", "## Adjust"),
    "1,000 sequences on a cluster": ("docs/operating.md", "## What to watch"),
}
"""The page, one click from the README, and the heading before which its answer ends."""


@pytest.mark.parametrize("question", ANSWERS)
def test_an_answer_stands_within_one_click_and_700_words_of_the_readme(question: str) -> None:
    page, end = ANSWERS[question]
    way, linked, _ = text("README.md").partition(f"]({page})")
    answer, found, _ = text(page).partition(f"\n{end}\n")
    assert linked
    assert found
    assert len(way.split()) + len(answer.split()) <= 700


def test_the_readme_is_short() -> None:
    assert len(text("README.md").split()) <= 900
