"""``iscc-train report``: one self-contained HTML page on a run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import cast

from iscc_lidar.data_schemas.manifest import MANIFEST_FILE
from iscc_lidar.shared.base.config import check_ranges, option
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.own import refuse_foreign_file, write_own_file
from iscc_lidar.shared.base.palettes import prototype_colors
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.model.unet import SparseUNet
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig
from iscc_lidar.trainer.pretrain.student import Student
from iscc_lidar.trainer.pretrain.trained import load_prototypes, load_student
from iscc_lidar.trainer.report.inspect_sweeps import inspect_sweeps
from iscc_lidar.trainer.report.options import nearest_recipe
from iscc_lidar.trainer.report.page import MARK, curve_section, evaluation_section, headline, health_section, page
from iscc_lidar.trainer.report.prototype_section import prototype_section
from iscc_lidar.trainer.report.record import RunRecord, read_record
from iscc_lidar.trainer.report.scores import read_scores, score_tables
from iscc_lidar.trainer.report.setup_section import setup_section
from iscc_lidar.trainer.report.sweep_section import spread, sweep_section
from iscc_lidar.trainer.report.usage import usage
from iscc_lidar.trainer.run.tensors import shapes_of

Section = tuple[str, str, str]


@dataclass(frozen=True)
class ReportConfig:
    """How much is inspected and shown."""

    sweeps: int = option(
        24, "sweeps of the cache that the network is applied to, evenly spread; 0 takes all", at_least=0
    )
    drawn: int = option(4, "of these, sweeps that are drawn; each adds about 0.2 MB to the page", at_least=0)
    reach_m: float = option(40.0, "half the width of a drawn sweep, metres", at_least=0.1, at_most=10_000)
    cards: int = option(12, "prototypes shown at once; the others are folded in", at_least=0)
    examples: int = option(4, "groups shown of each prototype", at_least=0)
    seed: int = option(0, "seed of the choice of sweeps and masked balls", at_least=0)

    def __post_init__(self) -> None:
        check_ranges(self, "")


def write_report(run: Path, cache: Path | str | None, out: Path, config: ReportConfig) -> None:
    """Write the page on a run.

    The same run, cache and options give the same bytes on one machine; the page has no date.

    Args:
        run: folder of a run, finished or not.
        cache: its sweeps are shown; None takes the cache that the run was trained on, if it still exists.
        out: the page to write.
        config: how much is shown.

    Raises:
        UserError: no run in a folder, a damaged file there, no cache at ``cache``, or no matplotlib.
    """
    refuse_foreign_file(out, MARK.encode())
    record = read_record(run)
    found, remarks = _find_cache(record, cache)
    recipes, options = nearest_recipe(record.run, record.config)
    parameters = shapes_of(lambda: SparseUNet(record.config.model))
    changed = sum(o.differs and o.matters and o.key != "train.seed" for o in options)
    head = headline(
        record,
        dataset=str(record.provenance.get("dataset", "unknown dataset")),
        recipe=" + ".join(recipes) or "defaults",
        changed=changed,
        parameters=sum(p.numel() for name, p in parameters.items() if name.endswith(("kernel", "weight", "bias"))),
    )
    pictures, more = _pictures_or_why_not(record, found, config, must=cache is not None)
    sections = [("health", "Health", health_section(record, (*record.remarks, *remarks, *more)))]
    if len(record.step):
        sections.append(("curves", "Curves", curve_section(record)))
    if record.evaluation:
        sections.append(("evaluation", "Evaluation", evaluation_section(record)))
    elif scores := read_scores(record.run.task, run):
        sections.append(("scores", "Scores", score_tables([scores], [""])))
    sections += [*pictures, ("setup", "Setup", setup_section(record, recipes, options))]
    write_own_file(out, page(f"{record.name}: {record.title}", sections, head).encode(), MARK.encode())


def _find_cache(run: RunRecord, given: Path | str | None) -> tuple[Cache | None, tuple[str, ...]]:
    """Open the cache to show, and list remarks on it. Raises UserError only where ``given`` is not a cache.

    A recorded URL is not opened: whoever made the folder chose it.
    """
    recorded = run.run.recorded_cache
    if given is None and recorded is None:
        named = run.provenance.get("cache")
        why = f"the run's cache {named} is no path on this machine" if named else "the run does not record its cache"
        return None, (f"No pictures: {why}. Add --cache CACHE.",)
    if given is None and recorded is not None and not os.path.isfile(recorded / MANIFEST_FILE):
        where = "" if recorded.is_absolute() else ", relative to the folder in which the report was written"
        return None, (f"No pictures: the run's cache {recorded} was not found{where}. Add --cache CACHE.",)
    try:
        cache = Cache(given or str(recorded))
    except UserError as error:
        if given is not None:
            raise
        return None, (f"No pictures: {error}. Add --cache CACHE.",)
    if cache.digest != run.provenance.get("cache_manifest_sha256"):
        return cache, (
            f"The sweeps and prototypes below are of {cache.path} ({cache.manifest.dataset}). Its manifest is not that "
            f"of the run's cache ({run.provenance.get('cache')}): other sweeps, or other preprocessing options.",
        )
    return cache, ()


def _pictures_or_why_not(
    run: RunRecord, cache: Cache | None, config: ReportConfig, must: bool
) -> tuple[list[Section], tuple[str, ...]]:
    """Draw the sections with sweeps; where the cache is damaged, return a remark instead, unless they ``must`` be."""
    try:
        return _pictures(run, cache, config), ()
    except UserError as error:
        if must or cache is None or not str(error).startswith(str(cache.path)):
            raise
        return [], (f"No pictures: {error}. Add --cache CACHE for another one.",)


def _pictures(run: RunRecord, cache: Cache | None, config: ReportConfig) -> list[Section]:
    if cache is None or run.checkpoint_step is None:
        return []
    if not isinstance(run.config, IsccConfig):
        text = f"<p>A run {run.title} has neither prototypes nor occupancy predictions: no sweep is drawn.</p>"
        return [("sweeps", "Sweeps", text)]
    centres = load_prototypes(run.run, run.config).centres
    student = cast(Student, load_student(run.run, run.config))
    sweeps = inspect_sweeps(student, centres, run.config, cache, config.sweeps, config.seed)
    if not sweeps:
        return [("sweeps", "Sweeps", f"<p>{escape(str(cache.path))} contains no sweep to show.</p>")]
    palette = prototype_colors(centres.numpy())
    counted = usage(sweeps, len(centres), cache.manifest.class_names, config.examples)
    reach_m = min(config.reach_m, run.config.data.max_range_m)
    note = f"<p>The network of the checkpoint after step {run.checkpoint_step:,}.{_caution(run)}</p>"
    drawn = spread(len(sweeps), config.drawn)
    return [
        ("prototypes", "Prototypes", note + prototype_section(counted, sweeps, palette, config.cards)),
        ("sweeps", "Sweeps", note + sweep_section(sweeps, drawn, counted, palette, reach_m)),
    ]


def _caution(run: RunRecord) -> str:
    weight = run.config.loss
    if weight.global_weight > 0:
        return ""
    if weight.local_weight > 0:
        return " Trained without global clustering: the prototypes follow the features, but do not attract them."
    return " Trained on occupancy alone: the projection head, and with it the prototypes, are untrained."
