"""What is a manifest: by the reader, and by the JSON Schema that is made from it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iscc_lidar.data_schemas.manifest import (
    BlockEntry,
    DocumentError,
    Manifest,
    SequenceEntry,
    SkippedSequence,
    Window,
    from_json,
    to_json,
)
from iscc_lidar.data_schemas.manifest_schema import manifest_schema

SHA = "0" * 63 + "a"
BLOCKS = (BlockEntry("sequences/00/block_0000-ab", 0, 2, SHA), BlockEntry("sequences/00/block_0001-cd", 2, 5, SHA))
WHOLE = Manifest(
    "semantickitti",
    SHA,
    ("unlabelled", "car"),
    (SequenceEntry("00", 5, (Window(0, 3, 0, 2), Window(2, 5, 2, 5)), BLOCKS),),
    (SkippedSequence("01", "its poses are missing"),),
    {"seed": 0, "config": {"a": 0.1}},
)
VALID = jsonschema.Draft202012Validator(manifest_schema())


def signed(content: dict[str, Any]) -> str:
    """A manifest's text with a digest that is right."""
    body = json.dumps({key: value for key, value in content.items() if key != "digest"}, indent=1).removesuffix("\n}")
    return f'{body},\n "digest": "{hashlib.sha256(body.encode()).hexdigest()}"\n}}\n'


def content() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(to_json(WHOLE))
    return found


def test_what_is_written_is_read_back() -> None:
    assert from_json(to_json(WHOLE)) == WHOLE
    VALID.validate(content())
    jsonschema.Draft202012Validator.check_schema(manifest_schema())
    assert from_json(signed(content())) == WHOLE


def test_a_higher_minor_and_unknown_keys_are_accepted() -> None:
    newer = content() | {"version": "2.7", "new": {"a": [1]}}
    newer["sequences"][0]["colour"] = "red"
    newer["sequences"][0]["blocks"][1]["size"] = 7
    VALID.validate(newer)
    assert from_json(signed(newer)) == WHOLE


@pytest.mark.parametrize("version", ["1.9", "3.0", "10.0"])
def test_another_major_is_refused_by_both_versions_and_what_to_do(version: str) -> None:
    other = content() | {"version": version}
    with pytest.raises(DocumentError, match=rf"{version}, this program reads 2\.x; preprocess again, or"):
        from_json(signed(other))
    assert not VALID.is_valid(other)


def changed(path: list[Any], value: Any) -> dict[str, Any]:
    found = content()
    place = found
    for key in path[:-1]:
        place = place[key]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return found


FIRST = ["sequences", 0]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["format"], "recipes"),
        (["version"], "two"),
        (["version"], None),
        (["dataset"], None),
        (["dataset"], 3),
        (["config_key"], "abc"),
        (["class_names"], "car"),
        (["class_names"], ["car", 1]),
        (["sequences"], {}),
        (["sequences"], None),
        (["skipped"], [{"name": "01"}]),
        (["made_by"], []),
        ([*FIRST, "name"], None),
        ([*FIRST, "sweeps"], -1),
        ([*FIRST, "sweeps"], "5"),
        ([*FIRST, "sweeps"], True),
        ([*FIRST, "windows", 0, "stop"], None),
        ([*FIRST, "windows"], [1]),
        ([*FIRST, "blocks", 0, "path"], "../other/block"),
        ([*FIRST, "blocks", 0, "path"], "/etc"),
        ([*FIRST, "blocks", 0, "path"], "a//b"),
        ([*FIRST, "blocks", 0, "path"], "a/./b"),
        ([*FIRST, "blocks", 0, "path"], ""),
        ([*FIRST, "blocks", 0, "digest"], SHA.upper()),
        ([*FIRST, "blocks", 0, "start"], 0.5),
    ],
)
def test_what_the_schema_refuses_the_reader_refuses(path: list[Any], value: Any) -> None:
    other = changed(path, value)
    assert not VALID.is_valid(other)
    with pytest.raises(DocumentError):
        from_json(signed(other))


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ([*FIRST, "sweeps"], 6, "do not contain its sweeps one after the other"),
        ([*FIRST, "blocks", 1, "start"], 3, "do not contain its sweeps one after the other"),
        ([*FIRST, "blocks", 0, "start"], 1, "do not contain its sweeps one after the other"),
        (["sequences"], [content()["sequences"][0]] * 2, "it contains a sequence twice"),
    ],
)
def test_what_is_at_odds_with_itself_is_refused(path: list[Any], value: Any, says: str) -> None:
    with pytest.raises(DocumentError, match=says):
        from_json(signed(changed(path, value)))


@given(st.data())
def test_no_change_of_a_byte_goes_unseen(data: st.DataObject) -> None:
    text = to_json(WHOLE)
    place = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.characters(codec="ascii").filter(lambda letter: letter != text[place]))
    with pytest.raises(DocumentError):
        from_json(text[:place] + letter + text[place + 1 :])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in places(item, (*path, key)))]


@given(st.data())
def test_any_value_anywhere_is_read_or_a_message_and_never_more_lenient_than_the_schema(data: st.DataObject) -> None:
    path = list(data.draw(st.sampled_from([p for p in places(content()) if p and p[0] != "digest"])))
    other = changed(path, data.draw(JSON.filter(lambda value: value is not None)))
    try:
        from_json(signed(other))
    except DocumentError:
        return
    VALID.validate(other)


@given(JSON | st.text())
def test_anything_else_is_a_message(value: Any) -> None:
    for text in (json.dumps(value), str(value)):
        with pytest.raises(DocumentError):
            from_json(text)
