"""``iscc-train report A B``: one self-contained HTML page that compares runs of one task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from iscc_lidar.shared.base.config import toml_value
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.own import refuse_foreign_file, write_own_file
from iscc_lidar.shared.base.text import one_line
from iscc_lidar.trainer.report.chart import draw, look_class
from iscc_lidar.trainer.report.curves import SMOOTHING, joined_panels
from iscc_lidar.trainer.report.health import verdicts
from iscc_lidar.trainer.report.options import Option, nearest_recipe
from iscc_lidar.trainer.report.page import MARK, MARKS, page
from iscc_lidar.trainer.report.record import RunRecord, read_record
from iscc_lidar.trainer.report.scores import read_scores, score_tables
from iscc_lidar.trainer.run.options import FREE_TO_CHANGE

_SHORT_DIGEST: Final = 12
_FREE: Final = {f"train.{name}" for name in FREE_TO_CHANGE}


def write_comparison(folders: Sequence[Path], out: Path) -> None:
    """Write the page that compares runs, two or more; the same runs give the same bytes.

    Args:
        folders: of the runs, finished or not, in the order in which they are numbered.
        out: the page to write.

    Raises:
        UserError: no run in a folder, a damaged file there, runs that cannot be compared, a foreign file at ``out``.
    """
    refuse_foreign_file(out, MARK.encode())
    _refuse_twice(folders)
    runs = [read_record(folder) for folder in folders]
    _refuse_other_tasks(runs)
    keys = [f'<i class="{look_class(n)}"></i>{n + 1}' for n in range(len(runs))]
    scores = [read_scores(run.run.task, run.run.folder) for run in runs]
    recipes, options = zip(*(nearest_recipe(run.run, run.config) for run in runs), strict=True)
    sections = [("runs", "Runs", _run_section(runs, keys, recipes))]
    if any(scores):
        sections.append(("scores", "Scores", _score_section(runs, score_tables(scores, _heads(runs, keys)), scores)))
    if any(len(run.step) for run in runs):
        sections.append(("curves", "Curves", _curve_section(runs, keys)))
    sections.append(("differences", "What differs", _difference_section(runs, keys, options)))
    titles = {run.title for run in runs}
    task = "pre-training" if runs[0].run.task == "pretrain" else runs[0].title
    title = f"Comparison of {len(runs)} runs"
    kind = titles.pop() if len(titles) == 1 else task
    names = " · ".join(f"{n}. {escape(run.name)}" for n, run in enumerate(runs, start=1))
    head = f'<p class="kind">{escape(kind)}</p><h1>{title}</h1><p>{names}</p>'
    write_own_file(out, page(title, sections, head).encode(), MARK.encode())


def _refuse_twice(folders: Sequence[Path]) -> None:
    found: dict[Path, Path] = {}
    for folder in folders:
        place = folder.resolve()
        if place in found:
            raise UserError(f"{folder}: is given twice (also as {found[place]}); name each run once")
        found[place] = folder


def _refuse_other_tasks(runs: Sequence[RunRecord]) -> None:
    first, *others = runs
    for other in others:
        if other.run.task != first.run.task:
            raise UserError(
                f"{other.run.folder}: {other.title}, but {first.run.folder} is {first.title}; they have neither losses "
                "nor scores in common: compare runs of one task"
            )
        if _classes(other) != _classes(first):
            raise UserError(
                f"{other.run.folder}: fine-tuned for other classes ({_listed(other)}) than {first.run.folder} "
                f"({_listed(first)}); neither losses nor scores can be compared: compare runs of the same classes"
            )


def _classes(run: RunRecord) -> Sequence[str]:
    """Return what a fine-tuned run tells apart."""
    if run.run.task == "pretrain":
        return ()
    return list(run.config.classes.names if run.run.task == "detection" else run.provenance.get("class_names", ()))


def _listed(run: RunRecord) -> str:
    names = [one_line(name) for name in _classes(run)]
    return f"{', '.join(names[:4])}{f' and {len(names) - 4} more' if len(names) > 4 else ''}" or "none recorded"


def _run_section(runs: Sequence[RunRecord], keys: Sequence[str], recipes: Sequence[Sequence[str]]) -> str:
    rows = "".join(
        f"<tr><td>{key}</td><td>{escape(run.name)}</td><td>{_state(run)}</td>"
        f"<td><code>{escape(' + '.join(recipe) or 'defaults')}</code></td><td>{run.config.train.seed}</td>"
        f"<td>{_health(run)}</td></tr>"
        for key, run, recipe in zip(keys, runs, recipes, strict=True)
    )
    head = "".join(f"<th>{text}</th>" for text in ("", "run", "steps", "nearest recipe", "seed", "to be watched"))
    return f'<div class="scroll"><table class="runs"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _state(run: RunRecord) -> str:
    return f"{run.run.steps:,}" if run.finished else f"{run.steps_done:,} of {run.run.steps:,}"


def _health(run: RunRecord) -> str:
    found = [f"{MARKS[v.status]} {v.about}" for v in verdicts(run) if v.status != "good"]
    return "<br>".join(escape(text) for text in (*found, *(f"! {remark}" for remark in run.remarks))) or "–"


def _heads(runs: Sequence[RunRecord], keys: Sequence[str]) -> list[str]:
    return [f"{key}<small>{escape(run.name)}</small>" for key, run in zip(keys, runs, strict=True)]


def _score_section(runs: Sequence[RunRecord], tables: str, scores: Sequence[object]) -> str:
    missing = ", ".join(str(n) for n, found in enumerate(scores, start=1) if found is None)
    task = runs[0].run.task
    command = "iscc-train evaluate" if task == "pretrain" else f"iscc-train finetune {task}"
    left_out = f'<p class="note">Not scored yet by <code>{command}</code>: {missing}.</p>' if missing else ""
    return f'{tables}{left_out}<p class="note">Single runs: those of other seeds may differ as much.</p>'


def _curve_section(runs: Sequence[RunRecord], keys: Sequence[str]) -> str:
    steps = max(run.run.steps for run in runs)
    panels, remark = joined_panels(runs), ""
    # Not every method has weights of terms.
    if len({(type(run.config), getattr(run.config, "loss", None)) for run in runs}) > 1:
        panels = [panel for panel in panels if panel.title != "Loss"]
        remark = " The total loss is left out: the runs sum different terms, or weigh them differently."
    legend = "".join(f'<span class="chip">{key} {escape(run.name)}</span>' for key, run in zip(keys, runs, strict=True))
    charts = "".join(draw(panel, steps, several=True) for panel in panels)
    return (
        f"<p>Centred means over {SMOOTHING:.0%} of each log; the figures below a title are means over the last tenth."
        f'{remark}</p><p class="legend">{legend}</p><div class="charts">{charts}</div>'
    )


def _difference_section(runs: Sequence[RunRecord], keys: Sequence[str], options: Sequence[Sequence[Option]]) -> str:
    inputs = _differing([_facts(run.provenance) for run in runs])
    values = _differing([{o.key: toml_value(o.value) for o in of_run} for of_run in options])
    meaning = {o.key: o.meaning for of_run in options for o in of_run}
    learnt = {key: row for key, row in values.items() if key not in _FREE}
    free = {key: row for key, row in values.items() if key in _FREE}
    parts = [
        ("Options that change what is learnt", _difference_table(learnt, keys, meaning) or "<p>None.</p>"),
        ("Inputs and environment", _difference_table(inputs, keys, {})),
        ("Options that do not change what is learnt", _difference_table(free, keys, meaning)),
    ]
    return "".join(f"<h3>{title}</h3>{table}" for title, table in parts if table)


def _facts(provenance: Mapping[str, Any]) -> dict[str, str]:
    """Return what config.json records besides the options: inputs, where the run started, versions."""
    nested = [provenance.get(name) for name in ("started_on", "versions")]
    facts = [provenance, *(of for of in nested if isinstance(of, dict))]
    plain = {name: str(value) for of in facts for name, value in of.items() if isinstance(value, (str, int))}
    return {name: value[:_SHORT_DIGEST] if name.endswith("sha256") else value for name, value in plain.items()}


def _differing(of_runs: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    """Return the values of each run, by name, where they are not all the same."""
    names = dict.fromkeys(name for of_run in of_runs for name in of_run)
    rows = {name: [of_run.get(name, "–") for of_run in of_runs] for name in names}
    return {name: row for name, row in rows.items() if len(set(row)) > 1}


def _difference_table(rows: Mapping[str, Sequence[str]], keys: Sequence[str], meaning: Mapping[str, str]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{text}</th>" for text in ("", *keys, *(["meaning"] if meaning else [])))
    body = "".join(
        f"<tr><td><code>{escape(name)}</code></td>{''.join(f'<td><code>{escape(v)}</code></td>' for v in row)}"
        f"{f'<td>{escape(meaning[name])}</td>' if meaning else ''}</tr>"
        for name, row in rows.items()
    )
    table = f'<table class="differences"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return f'<div class="scroll">{table}</div>'
