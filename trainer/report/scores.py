"""Scores that other commands left in the folders of runs, side by side where the same sweeps were scored."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Final

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.text import one_line
from iscc_lidar.trainer.evaluation.results import Part, read_evaluation, read_figures
from iscc_lidar.trainer.finetune.tasks import TASKS

_SEGMENTED: Final[dict[str, Part]] = {"miou": None, "miou_objects": None, "accuracy": None, "iou": {"*": None}}
_BY_LEVEL: Final[Part] = {"*": {"*": None}}
_PARTS: Final[Mapping[str, Part]] = {
    "semseg": {**_SEGMENTED, "averaged_over_groups": _SEGMENTED, "sweeps": None},
    "detection": {"ap_r11": {"*": _BY_LEVEL}, "ap_r40": {"*": _BY_LEVEL}, "labels": _BY_LEVEL, "sweeps": None},
}
_SPACES: Final = {"3d": "3-D", "bev": "bird's-eye view"}

Rows = Mapping[str, float | None]
"""Values in percent by name."""


@dataclass(frozen=True)
class Scores:
    """What was scored of a run, and how well.

    Attributes:
        key: equal for runs of which the same sweeps were scored in the same way.
        scored: what was scored, in words.
        shown: tables by their titles.
        folded: those that are shown on demand, and ``more``, what they are.
    """

    key: str
    scored: str
    shown: Mapping[str, Rows]
    folded: Mapping[str, Rows]
    more: str


def read_scores(task: str, folder: Path) -> Scores | None:
    """Read the scores of a run of a task; None where it has none. Raises UserError where their file is damaged."""
    if task == "pretrain":
        content = read_evaluation(folder)
        return _of_probes(content) if content else None
    path = folder / TASKS[task].score_file
    content = read_figures(path, _PARTS[task], f"iscc-train finetune {task}")
    if not content:
        return None
    return _of_segmentation(content, path) if task == "semseg" else _of_detection(content)


def score_tables(scores: Sequence[Scores | None], heads: Sequence[str]) -> str:
    """Return tables with a column for each run, ``heads`` in HTML; of other sweeps, tables of their own."""
    parts = []
    for key in dict.fromkeys(found.key for found in scores if found is not None):
        own = [(found, head) for found, head in zip(scores, heads, strict=True) if found and found.key == key]
        tables = "".join(_tables(own, "shown"))
        folded = "".join(_tables(own, "folded"))
        more = (
            f'<details><summary>{escape(own[0][0].more)}</summary><div class="tables">{folded}</div></details>'
            if folded
            else ""
        )
        parts.append(f'<p>In percent; {escape(own[0][0].scored)}.</p><div class="tables">{tables}</div>{more}')
    return "".join(parts)


def _tables(scores: Sequence[tuple[Scores, str]], which: str) -> Iterator[str]:
    of_run: list[Mapping[str, Rows]] = [getattr(found, which) for found, _ in scores]
    for title in dict.fromkeys(title for tables in of_run for title in tables):
        columns = [tables.get(title, {}) for tables in of_run]
        names = dict.fromkeys(name for column in columns for name in column)
        rows = "".join(
            f"<tr><td>{escape(name)}</td>{''.join(f'<td>{_cell(column.get(name))}</td>' for column in columns)}</tr>"
            for name in names
        )
        head = "".join(f"<th>{text}</th>" for text in (escape(title), *(head for _, head in scores)))
        table = f'<table class="scores"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
        yield f'<div class="scroll">{table}</div>'


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _of_segmentation(content: Mapping[str, Any], path: Path) -> Scores:
    counts = content.get("confusion", [])
    try:
        truth = [sum(map(int, row)) for row in counts]
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"{path}: its confusion is no matrix of numbers; remove it, or score again") from None
    averaged = content.get("averaged_over_groups", {})
    means = _segmented(content) | {f"{name}, averaged over groups": v for name, v in _segmented(averaged).items()}
    folded = {"IoU": _percent(content.get("iou", {}))}
    if averaged:
        folded["IoU, averaged over groups"] = _percent(averaged.get("iou", {}))
    # The points of each class say what was scored, wherever its cache lay.
    return Scores(json.dumps([list(folded["IoU"]), truth]), _sweeps(content), {"mean": means}, folded, "By class")


def _segmented(content: Mapping[str, Any]) -> dict[str, float | None]:
    names = {"miou": "mIoU", "miou_objects": "mIoU without ground", "accuracy": "accuracy"}
    return _percent({title: content[name] for name, title in names.items() if name in content})


def _of_detection(content: Mapping[str, Any]) -> Scores:
    labels = content.get("labels", {})
    shown, folded = (
        {
            f"AP, {recalls} recall positions, {_SPACES.get(space, space)}": {
                f"{kind}, {level}": value
                for kind, levels in by_kind.items()
                if any(labels.get(kind, {}).values())
                for level, value in levels.items()
            }
            for space, by_kind in content.get(f"ap_r{recalls}", {}).items()
        }
        for recalls in (11, 40)
    )
    return Scores(
        json.dumps([content.get("sweeps"), labels], sort_keys=True),
        _sweeps(content),
        shown,
        folded,
        "At 40 recall positions",
    )


def _of_probes(content: Mapping[str, Any]) -> Scores:
    shown: dict[str, Rows] = {}
    folded: dict[str, Rows] = {}
    for key, title in (("linear_probe", "linear probe"), ("neighbour_probe", "nearest neighbours")):
        networks = content.get(key, {})
        shown[f"{title}, mIoU"] = _percent(
            {
                f"{network}{suffix}": scores.get(name)
                for network, scores in networks.items()
                for name, suffix in (("miou", ""), ("miou_objects", ", without ground"))
            }
        )
        folded[f"{title}, IoU"] = _percent(networks.get("pre-trained", {}).get("iou", {}))
    named = {name: clusters.get("many_to_one", {}) for name, clusters in content.get("grouping", {}).items()}
    shown["clusters of groups, mIoU without ground"] = _percent(
        {
            f"{name}, named on {where}": scores.get(source, {}).get("all", {}).get("miou_objects")
            for name, scores in named.items()
            for source, where in (("val", "the scored sweeps"), ("train", "others"))
        }
    )
    occupancy = content.get("occupancy", {})
    shown["occupancy, balanced accuracy"] = _percent({name: row.get("balanced") for name, row in occupancy.items()})
    about, options = (content.get(name) for name in ("about", "options"))
    about = {k: v for k, v in about.items() if k != "run"} if isinstance(about, dict) else {}
    return Scores(
        json.dumps([about, options], sort_keys=True),
        f"scored on {one_line(about.get('val_sweeps', 'unknown'))} sweeps of {one_line(about.get('val_cache', '?'))}, "
        f"probes fitted on {one_line(about.get('train_cache', '?'))}",
        {title: rows for title, rows in shown.items() if rows},
        {title: rows for title, rows in folded.items() if rows},
        "By class",
    )


def _sweeps(content: Mapping[str, Any]) -> str:
    return f"scored on {one_line(content.get('sweeps', 'unknown'))} sweeps of {one_line(content.get('cache', '?'))}"


def _percent(values: Mapping[str, float | None]) -> dict[str, float | None]:
    return {name: None if value is None else 100 * value for name, value in values.items()}
