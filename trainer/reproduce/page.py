"""One self-contained HTML page with the results: plots, tables, and how they were made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from iscc_lidar.shared.base.picture import svg
from iscc_lidar.shared.base.text import printable
from iscc_lidar.trainer.reproduce.experiments import SCRATCH
from iscc_lidar.trainer.reproduce.plots import curves, gains_by_class, gains_by_street, shows_gains
from iscc_lidar.trainer.reproduce.results import Result, by_schedule
from iscc_lidar.trainer.reproduce.tables import filled

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #50565c; }
@media screen and (prefers-color-scheme: dark) { :root { --soft: #aab2ba; } }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 66rem; padding: 1rem; }
h1, h2 { line-height: 1.25; }
h2 { font-size: 1.25rem; margin: 2rem 0 .6rem; }
table { border-collapse: collapse; display: block; overflow-x: auto; font-size: .9rem; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .6rem; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; white-space: normal; min-width: 12rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.2rem; font-size: .9rem; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
.plots { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
figure { margin: 0; width: 442px; max-width: 100%; background: #fff; border-radius: 6px; }
figure svg { display: block; width: 100%; height: auto; }
figcaption { color: #444; padding: 0 1rem .6rem; font-size: .85rem; }
.note { color: var(--soft); font-size: .9rem; }
@media (max-width: 600px) {
  dl { grid-template-columns: 1fr; }
  dd { margin-bottom: .4rem; }
}
@media print {
  :root { color-scheme: light; --soft: #50565c; }
  table { display: table; font-size: .75rem; }
  th, td, th:first-child, td:first-child { white-space: normal; min-width: 0; padding: .2rem .3rem; }
  h1, h2 { break-after: avoid; }
  figure, tr { break-inside: avoid; }
  figure { width: 330px; }
}
"""


def page(title: str, facts: Mapping[str, str], markdown_tables: str, results: Sequence[Result]) -> str:
    """Build the HTML document; ``markdown_tables`` are those of tables.tables."""
    known = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in facts.items())
    shown = _figures(results)
    plots = f'<div class="plots">{"".join(shown)}</div>' if shown else ""
    return printable(
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body><h1>{escape(title)}</h1>\n"
        '<p class="note">Gains are over training from scratch with the same labels and seed, in points; ± is the '
        "standard deviation over seeds. The authors' gains are from their slides, on the real dataset.</p>\n"
        f"{plots}\n{_html(markdown_tables)}\n<h2>How it was made</h2><dl>{known}</dl></body></html>\n"
    )


def _figures(results: Sequence[Result]) -> list[str]:
    """Draw one plot of each schedule, and of each table: small ones, that fit on a phone."""
    found = []
    for schedule, own in by_schedule(results).items():
        methods = {r.method for r in own}
        if any(r.street for r in own):
            about = "Gains over training from scratch on each street; bars: mean over seeds, dots: single seeds."
            found += [_figure(svg(gains_by_street(own)), about)] if shows_gains(own) else []
            continue
        about = "Over the share of labelled sweeps; bars: deviation over seeds, dots: single seeds."
        found += [_figure(svg(curves(own, rows)), f"{name}. {about}") for name, rows in filled(own)]
        if {SCRATCH, "iscc"} <= methods:
            about = f"Gain of ISCC in each class, fine-tuned by {schedule}; bars: mean over seeds, dots: single seeds."
            found.append(_figure(svg(gains_by_class(own, "iscc", min(r.fraction for r in own))), about))
    return found


def _figure(plot: str, caption: str) -> str:
    return f"<figure>{plot}<figcaption>{escape(caption)}</figcaption></figure>"


def _html(markdown: str) -> str:
    """Convert headings and tables of Markdown, as tables.py writes them, to HTML."""
    parts: list[str] = []
    rows: list[list[str]] = []
    for line in [*markdown.splitlines(), ""]:
        if line.startswith("| "):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
        elif line.startswith("### "):
            parts.append(f"<h2>{escape(line[4:])}</h2>")
        elif not line and rows:
            parts.append(_table(rows))
            rows = []
    return "".join(parts)


def _table(rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in rows[0])
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows[1:])
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
