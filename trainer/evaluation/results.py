"""The figures of an evaluation: their file in a run's folder, and as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.files import read_json

EVALUATION_FILE: Final = "evaluation.json"
_LARGEST: Final = 1e9
_MOST_NAMES: Final = 1000

_MEANS: Final = {
    "miou": "mIoU",
    "miou_objects": "mIoU without ground",
    "miou_occurring": "mIoU of classes in truth",
    "accuracy": "accuracy",
}


Part = Mapping[str, Any] | None
"""Names, each with its own part, of what is expected in the file; "*" is any name, None a number or null."""
_SCORES: Final[Part] = {"miou": None, "miou_objects": None, "iou": {"*": None}}
_PARTS: Final[Part] = {
    "linear_probe": {"*": _SCORES},
    "neighbour_probe": {"*": _SCORES},
    "grouping": {"*": {"many_to_one": {"*": {"all": {"miou_objects": None}}}}},
    "occupancy": {"*": {"accuracy": None, "balanced": None}},
}


def read_evaluation(run: Path) -> dict[str, Any]:
    """Read what ``iscc-train evaluate`` wrote to a run's folder; empty without it. Raises UserError as read_figures."""
    return read_figures(run / EVALUATION_FILE, _PARTS, "iscc-train evaluate")


def read_figures(path: Path, expected: Part, writer: str) -> dict[str, Any]:
    """Read a JSON file of scores that the command ``writer`` wrote; empty where there is none.

    Raises UserError where the file is damaged, or something ``expected`` has another type.
    """
    if not path.exists():
        return {}
    content = read_json(path)
    try:
        _check(content, expected, path.name)
    except ValueError as error:
        raise UserError(f"{path}: not written by {writer}: {error}; remove it, or score again") from None
    return content


def _check(found: Any, expected: Part, where: str) -> None:
    if expected is None:
        if found is not None and (type(found) not in (int, float) or not abs(found) <= _LARGEST):
            raise ValueError(f"{where} is {found!r:.80}, expected a number")
        return
    if not isinstance(found, dict) or len(found) > _MOST_NAMES:
        raise ValueError(f"{where} is {found!r:.80}, expected values by name")
    for name, value in found.items():
        if name in expected or "*" in expected:
            _check(value, expected.get(name, expected.get("*")), f"{where}: {name}")


def report(result: Mapping[str, Any]) -> str:
    """Format all figures as tables, IoU in percent."""
    parts = [_probes(result), _grouping(result["grouping"], "grouped"), _grouping(result["grouping"], "all")]
    if "occupancy" in result:
        parts.append(_occupancy(result["occupancy"]))
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _probes(result: Mapping[str, Any]) -> Iterator[str]:
    linear, neighbour = result["linear_probe"], result["neighbour_probe"]
    columns = [*linear.values(), *neighbour.values()]
    yield _line("IoU", [*(f"linear {n}" for n in linear), *(f"kNN {n}" for n in neighbour)])
    for name in columns[0]["iou"]:
        yield _line(name, [_percent(column["iou"][name]) for column in columns])
    for key, name in _MEANS.items():
        yield _line(name, [_percent(column[key]) for column in columns])


def _grouping(grouping: Mapping[str, Any], points: str) -> Iterator[str]:
    of = "of grouped points" if points == "grouped" else "of all points; in no group: missed"
    yield f"clusters of groups as classes, mIoU without ground, {of}"
    named = [(naming, source) for naming in ("one_to_one", "many_to_one") for source in ("val", "train")]
    yield _line("named on", [f"{naming.replace('_', '-')} {source}" for naming, source in named])
    for name, scores in grouping.items():
        values = [scores[naming][source][points]["miou_objects"] for naming, source in named]
        yield _line(f"{name} ({scores['clusters']})", [_percent(value) for value in values])


def _occupancy(occupancy: Mapping[str, Any]) -> Iterator[str]:
    yield _line("occupancy", ["accuracy", "balanced"], 12)
    for name, row in occupancy.items():
        yield _line(name, [_percent(row["accuracy"]), _percent(row["balanced"])], 12)


def _line(name: str, values: Sequence[str], width: int = 20) -> str:
    return f"{name:<26}" + "".join(f"{value:>{width}}" for value in values)


def _percent(value: float | None) -> str:
    return "absent" if value is None else f"{100 * value:.1f}"
