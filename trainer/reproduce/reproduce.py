"""Make the tables: run every job that is not done, then write results.csv, tables.md, curves.png and one page."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch

from iscc_lidar.shared.base import files
from iscc_lidar.shared.base.bench_file import processor
from iscc_lidar.shared.base.config import to_dict, to_toml
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.picture import png
from iscc_lidar.shared.base.provenance import versions
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.reproduce.config import ReproduceConfig
from iscc_lidar.trainer.reproduce.detection import BoxResult, box_tables, read_box_results, write_box_csv
from iscc_lidar.trainer.reproduce.page import page
from iscc_lidar.trainer.reproduce.plan import Caches, Job, plan, tunings
from iscc_lidar.trainer.reproduce.plots import curves
from iscc_lidar.trainer.reproduce.results import Result, read_result, write_csv
from iscc_lidar.trainer.reproduce.rows import STANDARD
from iscc_lidar.trainer.reproduce.tables import filled, tables
from iscc_lidar.trainer.reproduce.work import is_done, run_jobs, seconds_of

PRESETS: Final = Path(__file__).parent / "presets"


def reproduce(config: ReproduceConfig, caches: Caches, out: Path) -> str:
    """Run what is left to do, write all results, and return the tables as Markdown.

    Raises:
        UserError: something is missing or fails.
    """
    dataset = _dataset(caches)
    key = _digests(caches)
    jobs = plan(config, caches, out)
    files.write_text(out / "config.toml", to_toml(config))
    run_jobs(jobs, out, key, config.jobs or _places())
    done = tunings(config)
    results = [read_result(t, config.pretrain_recipes, dataset, out) for t in done if t.task == "semseg"]
    boxes = [r for t in done if t.task == "detection" for r in read_box_results(t, dataset, out)]
    return _write(results, boxes, dataset, _facts(config, caches, jobs, out), to_dict(config), out)


def left_to_do(config: ReproduceConfig, caches: Caches, out: Path) -> list[Job]:
    """Jobs that are not done yet."""
    key = _digests(caches)
    return [job for job in plan(config, caches, out) if not is_done(job, out, key)]


def _dataset(caches: Caches) -> str:
    """Name of the data set; refuses a pair of caches whose classes differ, or that share a sequence unasked."""
    train, test = Cache(caches.labelled), Cache(caches.test)
    if train.manifest.class_names != test.manifest.class_names:
        raise UserError(f"{train.path} and {test.path} must have the same semantic classes")
    same = train.digest == test.digest
    if same and (caches.train_list is None or caches.test_list is None):
        raise UserError(
            f"{train.path}: training and test sweeps are in one cache; say which are which with --train-list and "
            "--test-list"
        )
    return train.manifest.dataset


def _digests(caches: Caches) -> dict[str, str]:
    digests = {name: Cache(where).digest for name, where in (*caches.train.items(), ("test", caches.test))}
    for name, path in (("train list", caches.train_list), ("test list", caches.test_list)):
        if path is not None:
            if not path.is_file():
                raise UserError(f"{path}: missing; lists are made by: iscc-cache fractions")
            digests[name] = files.sha256(path)
    return dict(sorted(digests.items()))


def _places() -> int:
    if torch.cuda.is_available():
        return torch.cuda.device_count()
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _write(
    results: Sequence[Result],
    boxes: Sequence[BoxResult],
    dataset: str,
    facts: Mapping[str, str],
    options: Mapping[str, Any],
    out: Path,
) -> str:
    parts = [tables(results, dataset) if results else "", box_tables(boxes) if boxes else ""]
    text = "\n".join(part for part in parts if part)
    if results:
        write_csv(out / "results.csv", results)
        files.write_bytes(out / "curves.png", png(curves(results, filled(results)[0][1]), dpi=130))
    if boxes:
        write_box_csv(out / "detection.csv", boxes)
    files.write_text(out / "tables.md", text)
    files.write_text(out / "index.html", page(f"ISCC on {dataset}", facts, text, results))
    files.write_text(
        out / "config.json", json.dumps({**options, "facts": facts, "versions": versions()}, indent=1) + "\n"
    )
    return text


def _facts(config: ReproduceConfig, caches: Caches, jobs: list[Job], out: Path) -> Mapping[str, str]:
    hours = sum(seconds_of(job, out) for job in jobs) / 3600
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{processor()}, {_places()} cores"
    options = json.dumps(to_dict(config), sort_keys=True)
    return {
        "pre-trained on": _content(caches.train[STANDARD]),
        "labels drawn from": _content(caches.labelled, caches.train_list),
        "scored on": _content(caches.test, caches.test_list),
        "seeds": _seeds(config),
        "pre-training": " + ".join((*config.pretrain_recipes, *config.pretrain_set, *config.row_set)),
        "fine-tuning": " + ".join((*config.finetune_recipes, *config.finetune_set)) if config.percents else "none",
        "detection": " + ".join((*config.detection_recipes, *config.detection_set))
        if config.detection_percents
        else "none",
        "machine": f"{device}, {platform.system()}, Python {platform.python_version()}, torch {torch.__version__}",
        "work": f"{len(jobs)} trainings, {hours:.1f} hours of one job at a time",
        "options": hashlib.sha256(options.encode()).hexdigest()[:12],
    }


def _seeds(config: ReproduceConfig) -> str:
    seeds = ", ".join(str(seed) for seed in config.seeds)
    return seeds + (f"; pre-trainings of a row, by turns: {config.pretrainings}" if config.pretrainings else "")


def _content(path: Path | str, chosen: Path | None = None) -> str:
    cache = Cache(path)
    sweeps = sum(entry.sweeps for entry in cache.manifest.sequences)
    which = f"those listed in {chosen} of " if chosen else ""
    return f"{which}{sweeps:,} sweeps in {len(cache.sequence_names)} sequences, {path}"
