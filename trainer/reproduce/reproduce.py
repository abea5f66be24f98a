"""Run all jobs, then write results.csv, detection.csv, tables.md, curves.png and one HTML page."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import torch

from iscc_lidar.shared.base import files
from iscc_lidar.shared.base.config import to_dict, to_toml
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.own import own_folder
from iscc_lidar.shared.base.picture import png
from iscc_lidar.shared.base.provenance import processor, versions
from iscc_lidar.shared.base.text import counted
from iscc_lidar.shared.cache.label_fractions import write_list
from iscc_lidar.shared.cache.reader import Cache
from iscc_lidar.trainer.data.places import all_labelled, names_of
from iscc_lidar.trainer.finetune.detection.samples import all_boxed
from iscc_lidar.trainer.finetune.labels import choose_labelled
from iscc_lidar.trainer.reproduce.config import ALONE, ReproduceConfig
from iscc_lidar.trainer.reproduce.experiments import STANDARD
from iscc_lidar.trainer.reproduce.page import page
from iscc_lidar.trainer.reproduce.plan import Caches, Job, box_draws, draw_file, draws, fine_tunings, plan
from iscc_lidar.trainer.reproduce.plots import curves, gains_by_street, shows_gains
from iscc_lidar.trainer.reproduce.results import read_box_results, read_results, write_csv
from iscc_lidar.trainer.reproduce.streets import Street, classes_in, list_file, write_lists
from iscc_lidar.trainer.reproduce.tables import box_tables, filled, street_tables, tables
from iscc_lidar.trainer.reproduce.work import is_done, run_jobs, seconds_of

PRESETS: Final = Path(__file__).parent / "presets"


def reproduce(config: ReproduceConfig, caches: Caches, out: Path) -> str:
    """Run the remaining jobs, write all results, and return the tables as Markdown.

    Raises UserError if an input is missing or a job fails.
    """
    streets = config.all_streets()
    dataset, key, jobs = _dataset(caches, streets), _digests(config, caches), plan(config, caches, out)
    own_folder(out, "reproduction").mark()
    files.write_text(out / "config.toml", to_toml(config))
    _write_lists(config, caches, out)
    run_jobs(jobs, out, key, config.jobs or _devices())
    runs, cache = fine_tunings(config), Cache(caches.labelled)
    learnt = {street.learn: classes_in(cache, street.learn) for street in streets}
    results = [result for r in runs if r.task == "semseg" for result in read_results(r, config, dataset, out, learnt)]
    boxes = [result for r in runs if r.task == "detection" for result in read_box_results(r, dataset, out)]
    segmented = street_tables(results, {s.name: s.title for s in streets}) if streets else tables(results, dataset)
    text = "\n".join([*([segmented] if results else []), *([box_tables(boxes)] if boxes else [])])
    if results:
        write_csv(out / "results.csv", results)
        if not streets:
            files.write_bytes(out / "curves.png", png(curves(results, filled(results)[0][1]), dpi=130))
        elif shows_gains(results):
            files.write_bytes(out / "curves.png", png(gains_by_street(results), dpi=130))
    if boxes:
        write_csv(out / "detection.csv", boxes)
    facts = _facts(config, caches, jobs, out)
    content = {**to_dict(config), "facts": facts, "versions": versions()}
    files.write_text(out / "tables.md", text)
    files.write_text(out / "index.html", page(f"ISCC on {dataset}", facts, text, results))
    files.write_text(out / "config.json", json.dumps(content, indent=1) + "\n")
    return text


def remaining_jobs(config: ReproduceConfig, caches: Caches, out: Path) -> list[Job]:
    """List the jobs that are not complete."""
    key = _digests(config, caches)
    return [job for job in plan(config, caches, out) if not is_done(job, out, key)]


def _write_lists(config: ReproduceConfig, caches: Caches, out: Path) -> None:
    """Write the lists of the streets' sweeps, and of the sweeps whose labels are spread."""
    cache = Cache(caches.labelled)
    write_lists(cache, config.all_streets(), out)
    if set(config.labels) - {ALONE}:
        for seed in config.seeds:
            for draw in draws(config, seed):
                among = caches.train_list if draw.learn is None else list_file(out, draw.learn)
                chosen, _ = choose_labelled(cache, draw.config, all_labelled, draw.listed, among)
                write_list(draw_file("semseg", draw, out), names_of(cache, chosen))
            for draw in box_draws(config, seed):
                chosen, _ = choose_labelled(cache, draw.config, all_boxed, None, caches.train_list)
                write_list(draw_file("detection", draw, out), names_of(cache, chosen))


def _dataset(caches: Caches, streets: Sequence[Street]) -> str:
    """Return the dataset's name. Raises UserError where classes differ, or one cache has both parts without lists."""
    train, test = Cache(caches.labelled), Cache(caches.scored)
    if streets:
        if caches.test is not None or caches.train_list is not None or caches.test_list is not None:
            raise UserError("streets name what is learnt and scored; leave --test-cache, --train-list, --test-list out")
        return train.manifest.dataset
    if caches.test is None:
        raise UserError("give the cache to score on as --test-cache, or streets")
    if train.manifest.class_names != test.manifest.class_names:
        raise UserError(f"{train.path} and {test.path} have different semantic classes; pass caches of one dataset")
    if train.digest == test.digest and (caches.train_list is None or caches.test_list is None):
        raise UserError(
            f"{train.path}: training and test sweeps are in one cache; separate them with --train-list and --test-list"
        )
    return train.manifest.dataset


def _digests(config: ReproduceConfig, caches: Caches) -> dict[str, str]:
    digests = {name: "+".join(Cache(path).digest for path in paths) for name, paths in caches.train.items()}
    if caches.test is not None:
        digests["test"] = Cache(caches.test).digest
    lists = {f"list of {percent:g} %": path for percent, path in config.listed().items()}
    for name, path in {"train list": caches.train_list, "test list": caches.test_list, **lists}.items():
        if path is not None:
            if not path.is_file():
                raise UserError(f"{path}: missing; make lists with: iscc-cache fractions")
            digests[name] = files.sha256(path)
    return dict(sorted(digests.items()))


def _devices() -> int:
    if torch.cuda.is_available():
        return torch.cuda.device_count()
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _facts(config: ReproduceConfig, caches: Caches, jobs: list[Job], out: Path) -> Mapping[str, str]:
    hours = sum(seconds_of(job, out) for job in jobs) / 3600
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{processor()}, {_devices()} cores"
    options = json.dumps(to_dict(config), sort_keys=True)
    shared = f"; alternating pre-trainings per experiment: {config.pretrainings}" if config.pretrainings else ""
    detection = _joined(config.detection_recipes, config.detection_set) if config.detection_percents else "none"
    streets = "; ".join(street.title for street in config.all_streets())
    return {
        "pre-trained on": "; ".join(_content(path) for path in caches.train[STANDARD]),
        "labels drawn from": _content(caches.labelled, caches.train_list),
        "scored on": _content(caches.scored, caches.test_list),
        **({"streets": streets} if streets else {}),
        "seeds": ", ".join(str(seed) for seed in config.seeds) + shared,
        "pre-training": _joined(config.pretrain_recipes, config.pretrain_set, config.experiment_set),
        "fine-tuning": _joined(config.finetune_recipes, config.finetune_set) if config.percents else "none",
        "detection": detection,
        "machine": f"{device}, {platform.system()}, Python {platform.python_version()}, torch {torch.__version__}",
        "work": f"{len(jobs)} trainings, {hours:.1f} hours of one job at a time",
        "options": hashlib.sha256(options.encode()).hexdigest()[:12],
    }


def _joined(*parts: Sequence[str]) -> str:
    return " + ".join(name for part in parts for name in part)


def _content(path: Path | str, chosen: Path | None = None) -> str:
    cache = Cache(path)
    sweeps = sum(entry.sweeps for entry in cache.manifest.sequences)
    which = f"those listed in {chosen} of " if chosen else ""
    return f"{which}{sweeps:,} sweeps in {counted(len(cache.sequence_names), 'sequence')}, {path}"
