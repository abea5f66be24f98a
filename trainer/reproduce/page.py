"""One self-contained HTML page with the results: plots, tables, and how they were made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from iscc_lidar.shared.base.picture import svg
from iscc_lidar.shared.base.text import printable
from iscc_lidar.trainer.reproduce.experiments import SCRATCH
from iscc_lidar.trainer.reproduce.plots import curves, gains_by_class, gains_by_street
from iscc_lidar.trainer.reproduce.results import Result, by_schedule
from iscc_lidar.trainer.reproduce.tables import filled

_STYLE = """
:root { color-scheme: light dark; --line: #8884; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 66rem; padding: 1rem; }
table { border-collapse: collapse; display: block; overflow-x: auto; font-size: .9rem; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .6rem; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; white-space: normal; min-width: 12rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.2rem; font-size: .9rem; }
dt { opacity: .75; }
dd { margin: 0; overflow-wrap: anywhere; }
figure { margin: 1rem 0; background: #fff; border-radius: 6px; }
figure svg { max-width: 100%; height: auto; }
figcaption { color: #444; padding: 0 1rem .6rem; font-size: .85rem; }
.note { opacity: .75; font-size: .9rem; }
"""


def page(title: str, facts: Mapping[str, str], markdown_tables: str, results: Sequence[Result]) -> str:
    """Build the HTML document; ``markdown_tables`` are those of tables.tables."""
    known = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in facts.items())
    about = "Over the share of labelled sweeps; bars: deviation over seeds, dots: single seeds."
    streets = any(r.street for r in results)
    shown = filled(results) if results and not streets else []
    figures = [_figure(svg(curves(results, rows)), f"{title}. {about}") for title, rows in shown]
    methods = dict.fromkeys(r.method for r in results)
    if streets:
        about = "Gains over training from scratch on each street; bars: mean over seeds, dots: single seeds."
        figures.append(_figure(svg(gains_by_street(results)), about))
    elif SCRATCH in methods and "iscc" in methods:
        smallest = min(r.fraction for r in results)
        for schedule, own in by_schedule(results).items():
            about = f"Gain of ISCC in each class, fine-tuned by {schedule}; bars: mean over seeds, dots: single seeds."
            figures.append(_figure(svg(gains_by_class(own, "iscc", smallest)), about))
    return printable(
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body><h1>{escape(title)}</h1>\n"
        '<p class="note">Gains are over training from scratch with the same labels and seed, in points; ± is the '
        "standard deviation over seeds. The authors' gains are from their slides, on the real dataset.</p>\n"
        f"{''.join(figures)}\n{_html(markdown_tables)}\n<h2>How it was made</h2><dl>{known}</dl></body></html>\n"
    )


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
