"""Labels for point_labeler: read as the tool reads them, and back."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from iscc_lidar.data_schemas.labels import GROUND, NOISE, NOT_CONSIDERED
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.layouts.formats.point_labeler import decode, encode, labels_xml, refuse_too_many

CLASSES = ("unlabelled", "car", "<person> & 'dog'")


def read_xml(content: bytes) -> dict[int, tuple[str, tuple[int, ...], bool]]:
    """Name, colour and whether it has instances of each class by its number, as the tool's parser takes them."""
    found = {}
    root = ElementTree.fromstring(content)
    assert root.tag == "config"
    for label in root.findall("label"):
        name, number, color = (str(label.findtext(tag)) for tag in ("name", "id", "color"))
        entry = name, tuple(map(int, color.split(" "))), label.findtext("instanceable") == "true"
        found[int(number)] = entry
        if label.find("moving") is not None:
            found[int(str(label.findtext("moving")))] = entry
    return found


@given(st.lists(st.integers(0, 2**20), unique=True, max_size=40), st.integers(0, 2**32 - 1))
def test_groups_come_back(ids: list[int], seed: int) -> None:
    groups, rng = np.array(sorted(ids), np.int32), np.random.default_rng(seed)
    label = rng.choice(np.array([*ids, NOISE, GROUND, NOT_CONSIDERED], np.int32), 60)
    moving = rng.random(len(groups)) < 0.5
    rank = np.where(label >= 0, np.searchsorted(groups, label), -1)
    raw = encode(label, rank, moving)
    known = read_xml(labels_xml(CLASSES))
    found = decode(raw, len(groups), len(CLASSES), "file")
    assert not found.class_index.any()
    assert not found.instance.any()
    assert np.array_equal(rank, found.rank)
    for value, of in zip(raw.tolist(), label.tolist(), strict=True):
        number, instance = value & 0xFFFF, value >> 16
        assert number in known
        assert number < 1024, "the tool's limit"
        assert (instance > 0) == (of >= 0) == known[number][2]
        if of >= 0:
            assert (number > 200) == moving[np.searchsorted(groups, of)], "the tool's rule for what moves"
    assert len({value for value, of in zip(raw.tolist(), label.tolist(), strict=True) if of >= 0}) == len(
        {of for of in label.tolist() if of >= 0}
    )


def decoded(*raw: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    found = decode(np.array(raw, np.uint32), 20, len(CLASSES), "file")
    return found.class_index, found.rank, found.instance


def test_what_a_person_gives_is_told_apart() -> None:
    known = {name: number for number, (name, _, _) in sorted(read_xml(labels_xml(CLASSES)).items(), reverse=True)}
    first, ground, noise = known["group 1, not named"], known["ground, not named"], known["no group, not named"]
    new, of_class = first | 99 << 16, known["car"] | 7 << 16
    classes, rank, instance = decoded(
        0, known["car"], known["car"] + 400, known[CLASSES[2]], ground, noise, first, first | 2 << 16, new, of_class
    )
    assert classes.tolist() == [0, 1, 1, 2, 0, 0, 0, 0, 0, 1]
    assert rank.tolist() == [-1, -1, -1, -1, -1, -1, -1, 8, -1, -1]
    assert instance.tolist() == [0, 0, 0, 0, 0, 0, 0, 0, new, of_class]


@pytest.mark.parametrize("raw", [3, 180, 200, 400, 403, 591, 1023, 65_535, 3 | 5 << 16])
def test_classes_that_the_tool_was_not_given_are_named(raw: int) -> None:
    with pytest.raises(UserError, match=rf"^file: has the class {raw & 0xFFFF}, which labels.xml does not have"):
        decoded(0, raw)


def test_groups_have_colours_and_each_class_one_of_its_own() -> None:
    found = read_xml(labels_xml(CLASSES))
    colors = {color for name, color, _ in found.values() if name.startswith("group")}
    assert len(colors) == 8
    assert all(0 <= value <= 255 for _, color, _ in found.values() for value in color)
    assert [found[k][0] for k in range(3)] == list(CLASSES)


def test_more_than_the_numbers_can_name_is_refused() -> None:
    refuse_too_many(181, 8 * 65_535, "cache")
    with pytest.raises(UserError, match="cache: 181 classes; point_labeler's files can name 180"):
        refuse_too_many(182, 0, "cache")
    with pytest.raises(UserError, match="cache: 524281 groups; point_labeler's files can name 524280"):
        refuse_too_many(2, 524_281, "cache")
