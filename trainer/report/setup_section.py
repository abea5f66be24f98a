"""The part of the page on how the run was set up: options, environment, provenance, the command to repeat it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from iscc_lidar.shared.base.config import toml_value
from iscc_lidar.trainer.report.options import Option, repeat_command
from iscc_lidar.trainer.report.record import RunRecord


def setup_section(run: RunRecord, recipes: Sequence[str], options: list[Option]) -> str:
    """Return the HTML of the section; ``options`` are compared with those of the nearest ``recipes``."""
    named = escape(" + ".join(recipes) or "defaults")
    changed = [option for option in options if option.differs]
    listed = _table(changed) if changed else f"<p>None: these are the options of {named}.</p>"
    return (
        f"<h3>Options that differ from <code>{named}</code></h3>{listed}"
        f"<details><summary>All {len(options)} options</summary>{_table(options)}</details>"
        f"<h3>Again</h3><pre>{escape(repeat_command(run.run, recipes, options))}</pre>"
        f"<h3>Environment and provenance</h3>{_provenance(run)}"
    )


def _table(options: list[Option]) -> str:
    rows = "".join(
        f"<tr{' class=changed' if o.differs else ''}><td><code>{escape(o.key)}</code></td>"
        f"<td><code>{escape(toml_value(o.value))}</code></td><td><code>{escape(toml_value(o.usual))}</code></td>"
        f"<td>{escape(o.meaning)}</td></tr>"
        for o in options
    )
    head = "<tr><th>option</th><th>this run</th><th>recipe</th><th>meaning</th></tr>"
    return f'<div class="scroll"><table class="options"><thead>{head}</thead><tbody>{rows}</tbody></table></div>'


def _provenance(run: RunRecord) -> str:
    versions = run.provenance.get("versions", {})
    rest = {k: v for k, v in run.provenance.items() if k not in ("versions", "cache", "cache_manifest_sha256")}
    rows = {
        "Cache": run.provenance.get("cache", "not recorded"),
        "SHA-256 of its manifest": run.provenance.get("cache_manifest_sha256", "not recorded"),
        "Seed": run.config.train.seed,
        "Device asked for": run.config.train.device,
        **{str(key).replace("_", " ").capitalize(): value for key, value in rest.items()},
        "Versions": versions or "not recorded",
    }
    cells = "".join(f"<dt>{escape(key)}</dt><dd>{escape(_plain(value))}</dd>" for key, value in rows.items())
    return f'<dl class="facts">{cells}</dl>'


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {of}" for name, of in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
