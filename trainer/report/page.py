"""The page: sections in their order, with the style sheet and the script next to this module."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from typing import Any, Final

from iscc_lidar.shared.base.text import printable
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig
from iscc_lidar.trainer.report.chart import draw, number
from iscc_lidar.trainer.report.curves import SMOOTHING, panels
from iscc_lidar.trainer.report.health import verdicts
from iscc_lidar.trainer.report.record import RunRecord

MARKS: Final = {"good": "✓", "watch": "!", "bad": "✕", "unknown": "?"}

MARK: Final = '<meta name="generator" content="iscc-lidar">'
"""By it the program recognises the pages that it may replace."""


def page(title: str, sections: Sequence[tuple[str, str, str]], head: str) -> str:
    """Build the HTML document from the HTML of its header and its sections, each (anchor, heading, HTML)."""
    files = resources.files("iscc_lidar.trainer.report")
    style, script = ((files / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    links = "".join(f'<a href="#{anchor}">{escape(heading)}</a>' for anchor, heading, _ in sections)
    body = "".join(f'<section id="{a}"><h2>{escape(h)}</h2>{html}</section>' for a, h, html in sections)
    return printable(
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'{MARK}<meta name="color-scheme" content="light dark"><title>{escape(title)}</title>\n'
        f"<style>\n{style}</style></head>\n<body><header>{head}<nav>{links}</nav></header>\n"
        f"<main>{body}</main>\n<script>\n{script}</script></body></html>\n"
    )


def headline(run: RunRecord, dataset: str, recipe: str, changed: int, parameters: int) -> str:
    """Return the header: name and state of the run, and its main figures."""
    train = run.config.train
    state = "finished" if run.finished else "not finished"
    variant = f", {changed} option{'s' * (changed != 1)} changed" if changed else ""
    paired = run.run.task == "pretrain" and run.config.data.partner == "window"
    tiles = [
        (f"{run.steps_done:,}", f"of {run.run.steps:,} steps"),
        (f"{run.steps_done * train.batch_size:,}", f"{'pairs of ' * paired}sweeps seen"),
        (_short(parameters), "backbone parameters"),
        *_final_figures(run),
    ]
    shown = "".join(f"<div><b>{escape(big)}</b><span>{escape(small)}</span></div>" for big, small in tiles)
    return (
        f'<p class="kind">{escape(run.title[0].upper() + run.title[1:])}</p>'
        f'<h1>{escape(run.name)} <span class="state {state.split()[0]}">{state}'
        f"</span></h1><p>{escape(dataset)} · recipe <code>{escape(recipe)}</code>{variant} · seed {train.seed}</p>"
        f'<div class="tiles">{shown}</div>'
    )


def health_section(run: RunRecord, remarks: Sequence[str]) -> str:
    """Return the verdicts, and remarks on what is missing."""
    rows = "".join(
        f'<li class="{v.status}"><i>{MARKS[v.status]}</i><div><b>{escape(v.about)}</b> {escape(v.finding)}'
        f"<small>{escape(v.rule)}</small></div></li>"
        for v in verdicts(run)
    )
    rows += "".join(f'<li class="watch"><i>!</i><div>{escape(remark)}</div></li>' for remark in remarks)
    return (
        f'<ul class="health">{rows}</ul><p class="note">These checks detect a broken run. The quality of the '
        "features is measured by <code>iscc-train evaluate</code> and by fine-tuning.</p>"
    )


def curve_section(run: RunRecord) -> str:
    """Return all curves of a run, one chart per figure."""
    charts = "".join(draw(panel, run.run.steps, several=False) for panel in panels(run))
    return (
        f"<p>{len(run.step):,} logged steps. The strong line is a centred mean over {SMOOTHING:.0%} of the log; the "
        "pale line or, for a long log, the pale range are the logged values. The figure next to a title is the mean "
        "over the last tenth. The outermost percent of the values may lie outside the axes.</p>"
        f'<div class="charts">{charts}</div>'
    )


def evaluation_section(run: RunRecord) -> str:
    """Return the scores that ``iscc-train evaluate`` has saved."""
    tables = [_probe_table(run.evaluation, "linear_probe", "linear probe")]
    tables.append(_probe_table(run.evaluation, "neighbour_probe", "nearest neighbours"))
    grouping = run.evaluation.get("grouping", {})
    if grouping:
        head = ("clusters of groups, mIoU without ground", "named on the scored sweeps", "named on other sequences")
        tables.append(_table(head, [(name, *_majority(scores)) for name, scores in grouping.items()]))
    occupancy = run.evaluation.get("occupancy", {})
    if occupancy:
        scores = [(name, row.get("accuracy"), row.get("balanced")) for name, row in occupancy.items()]
        tables.append(_table(("occupancy", "accuracy", "balanced"), scores))
    source = "On sequences of another cache, as saved in the run folder by <code>iscc-train evaluate</code>."
    return f'<p>{source}</p><div class="tables">{"".join(tables)}</div>'


def _probe_table(evaluation: Mapping[str, Any], key: str, title: str) -> str:
    scores = evaluation.get(key, {})
    if not {"untrained", "pre-trained"} <= set(scores):
        return ""
    before, after = scores["untrained"], scores["pre-trained"]
    head = (f"{title}, IoU", "untrained", "pre-trained")
    means = [("mean", before.get("miou"), after.get("miou"))]
    means.append(("mean without ground", before.get("miou_objects"), after.get("miou_objects")))
    classes = [(name, value, after.get("iou", {}).get(name)) for name, value in before.get("iou", {}).items()]
    return f"<div>{_table(head, means)}<details><summary>By class</summary>{_table(head, classes)}</details></div>"


def _majority(scores: Mapping[str, Any]) -> tuple[object, object]:
    """Return the mIoU of clusters that were named after their majority class: on val, and on train."""
    named = scores.get("many_to_one", {})
    on_val, on_train = (named.get(source, {}).get("all", {}).get("miou_objects") for source in ("val", "train"))
    return on_val, on_train


def _table(head: Sequence[str], rows: Sequence[tuple[str, object, object]]) -> str:
    cells = "".join(
        f"<tr><td>{escape(name)}</td>" + "".join(f"<td>{_score(value)}</td>" for value in values) + "</tr>"
        for name, *values in rows
    )
    top = "".join(f"<th>{escape(text)}</th>" for text in head)
    return f'<table class="scores"><thead><tr>{top}</tr></thead><tbody>{cells}</tbody></table>'


def _score(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, (int, float)) else "–"


def _final_figures(run: RunRecord) -> list[tuple[str, str]]:
    found = []
    loss, right, used = (run.mean(n, True) for n in ("loss", "occupancy_accuracy_balanced", "prototypes_used"))
    if math.isfinite(loss):
        found.append((number(loss), "loss, last tenth of the log"))
    config = run.config
    if isinstance(config, IsccConfig) and math.isfinite(right) and config.loss.occupancy_weight > 0:
        found.append((f"{right:.0%}", "of occupancy queries right"))
    if isinstance(config, IsccConfig) and math.isfinite(used):
        found.append((f"{used:.0f}", f"of {config.prototypes.count} prototypes used"))
    mean_iou = run.evaluation.get("linear_probe", {}).get("pre-trained", {}).get("miou")
    if isinstance(mean_iou, float):
        found.append((f"{mean_iou:.3f}", "mIoU of the linear probe"))
    return found


def _short(count: int) -> str:
    return f"{count / 1e6:.2f} M" if count >= 10**5 else f"{count:,}"
