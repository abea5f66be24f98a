"""Verdicts on a run in plain words. Every threshold stands here, and is named on the page.

They tell a broken run from a working one; they say nothing about the worth of the features, which only
``iscc-train evaluate`` and fine-tuning measure.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from iscc_lidar.trainer.pretrain.method import find_method
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig
from iscc_lidar.trainer.report.record import RunRecord

Status = Literal["good", "watch", "bad", "unknown"]

ENOUGH_LINES: Final = 20
"""With fewer logged steps nothing is judged."""
FALLS_BELOW: Final = 0.95
"""A loss falls if its last tenth is below this share of its first tenth; it rises if above the inverse."""
FEW_PROTOTYPES: Final = (0.1, 0.5)
"""Share of prototypes in use: below the first bad, below the second to be watched."""
SMALL_GAP: Final = (0.1, 0.3)
"""cosine_same - cosine_others: below the first features are all alike, below the second hardly apart."""
OCCUPANCY: Final = (0.55, 0.65)
"""Balanced accuracy: below the first no better than a coin (.5)."""
LOPSIDED: Final = 0.25
"""Difference between the accuracies on occupied and on free queries."""
AGREEMENT: Final = 0.1
"""Share of groups in whose nearest prototype student and teacher agree."""
CLIPPED: Final = 0.5
"""Share of logged steps whose gradient was shortened."""


@dataclass(frozen=True)
class Verdict:
    """One judgement: what about, the figures it rests on, and the rule that was applied."""

    status: Status
    about: str
    finding: str
    rule: str


def verdicts(run: RunRecord) -> list[Verdict]:
    """Judge a run by its logged figures."""
    if len(run.step) < ENOUGH_LINES:
        rule = f"needs {ENOUGH_LINES} logged steps, there are {len(run.step)}"
        return [Verdict("unknown", "Too early to say", "The run has logged too little.", rule)]
    found: list[Verdict | None] = [_progress(run)]
    if run.run.task != "pretrain":
        found.append(_falls(run, "loss", "Loss"))
    elif isinstance(run.config, IsccConfig):
        found += _iscc(run, run.config)
    else:
        found += [_contrast(run), _judge(run, _collapse, "cosine_same", "cosine_others")]
    return [v for v in (*found, _gradient(run)) if v is not None]


def _iscc(run: RunRecord, config: IsccConfig) -> list[Verdict | None]:
    weight = config.loss
    found = [
        _falls(run, name, about)
        for name, about, used in (
            ("loss_global", "Global clustering", weight.global_weight),
            ("loss_local", "Local contrast", weight.local_weight),
            ("loss_occupancy", "Occupancy loss", weight.occupancy_weight),
            ("loss_surroundings", "Loss of surroundings", weight.surroundings_weight),
        )
        if used > 0
    ]
    if weight.global_weight > 0 or weight.local_weight > 0:
        found.append(_judge(run, _collapse, "cosine_same", "cosine_others"))
        found += [_judge(run, _prototypes, "prototypes_used"), _judge(run, _agreement, "agreement")]
    if weight.occupancy_weight > 0:
        accuracies = (f"occupancy_accuracy_{places}" for places in ("balanced", "occupied", "free"))
        found.append(_judge(run, _occupancy, *accuracies))
    return found


def _judge(run: RunRecord, judge: Callable[..., Verdict], *names: str) -> Verdict | None:
    """Judge the means of these figures over the last tenth of the log; None where one is not logged."""
    last = [run.mean(name, last=True) for name in names]
    return judge(run, *last) if np.isfinite(last).all() else None


def chance_level(run: RunRecord, name: str) -> float | None:
    """Return a loss term's value for uninformative features: ln C, mean ln of the regions to choose from, ln 2."""
    config = run.config
    if not isinstance(config, IsccConfig):
        return None
    if name == "loss_global":
        return math.log(config.prototypes.count)
    if name in ("loss_occupancy", "loss_surroundings"):
        return math.log(2)
    groups = run.figures.get("groups")
    if name == "loss_local" and groups is not None and np.nanmax(groups, initial=0) > 0:
        train = config.train
        # Groups are counted by micro-batch.
        scenes = train.batch_size / train.micro_batches if config.local.negatives == "scene" else 1
        regions = max(float(np.nanmean(groups)) / scenes, 1)
        # A group is distinguished from all regions, a ground patch from groups alone; as if all patches were found.
        patches = min(config.ground_patches.count * train.batch_size / train.micro_batches / scenes, regions - 1)
        return ((regions - patches) * math.log(regions) + patches * math.log(regions - patches + 1)) / regions
    return None


def _progress(run: RunRecord) -> Verdict:
    steps = run.run.steps
    if run.finished:
        return Verdict("good", "Finished", f"All {steps:,} steps are done and saved.", "last checkpoint = last step")
    saved = "no checkpoint yet" if run.checkpoint_step is None else f"checkpoint at step {run.checkpoint_step:,}"
    return Verdict(
        "watch",
        "Not finished",
        f"Step {run.steps_done:,} of {steps:,}; {saved}. All figures are of a run under way or interrupted.",
        "last checkpoint = last step",
    )


def _falls(run: RunRecord, name: str, about: str) -> Verdict | None:
    first, last = _ends(run, name)
    if not math.isfinite(first + last):
        return None
    floor = chance_level(run, name)
    chance = "" if floor is None else f"; {floor:.2f} would be guessing"
    status, word = _direction(first, last, floor)
    rule = f"falls: mean of the last tenth of the log below {FALLS_BELOW:g} × that of the first"
    return Verdict(status, f"{about} {word}", f"{first:.2f} → {last:.2f}{chance}.", rule)


def _direction(first: float, last: float, guessing: float | None) -> tuple[Status, str]:
    status: Status = "good" if last < FALLS_BELOW * first else "bad" if last > first / FALLS_BELOW else "watch"
    word = {"good": "falls", "watch": "hardly moves", "bad": "rises"}[status]
    if guessing is not None and last >= guessing and status == "good":
        return "watch", "falls, but is no better than guessing"
    return status, word


def _contrast(run: RunRecord) -> Verdict | None:
    """Judge the contrast relative to guessing at the same time: while a queue fills, both losses rise."""
    first, last = _ends(run, "loss_contrast")
    guessed_first, guessed_last = _ends(run, "guessing")
    if not math.isfinite(first + last + guessed_first + guessed_last) or 0 in (first, guessed_first, guessed_last):
        return None
    before, after = first / guessed_first, last / guessed_last
    status, word = _direction(before, after, 1.0)
    rule = f"falls: loss over guessing in the last tenth of the log below {FALLS_BELOW:g} × that in the first"
    finding = f"{before:.0%} → {after:.0%} of what guessing would be; at the end {last:.2f} of {guessed_last:.2f}."
    return Verdict(status, f"Contrast {word}", finding, rule)


def _collapse(run: RunRecord, same: float, others: float) -> Verdict:
    status = _rank(same - others, SMALL_GAP)
    region = find_method(run.config.method.name).region
    about = {
        "good": "No collapse",
        "watch": f"{region.capitalize()}s are hardly apart",
        "bad": f"Collapse: all {region}s look alike",
    }[status]
    return Verdict(
        status,
        about,
        f"A {region}'s two views have cosine {same:.2f}, different {region}s {round(others, 2) + 0.0:.2f}.",
        f"difference at least {SMALL_GAP[1]:g}; below {SMALL_GAP[0]:g} is collapse",
    )


def _prototypes(run: RunRecord, used: float) -> Verdict:
    count = run.config.prototypes.count
    return Verdict(
        _rank(used / count, FEW_PROTOTYPES),
        "Prototypes in use",
        f"{used:.0f} of {count} are nearest to some recent region.",
        f"at least {FEW_PROTOTYPES[1]:.0%}; below {FEW_PROTOTYPES[0]:.0%} is degenerate",
    )


def _agreement(run: RunRecord, agreement: float) -> Verdict:
    return Verdict(
        "good" if agreement >= AGREEMENT else "watch",
        "Student and teacher agree" if agreement >= AGREEMENT else "Student and teacher disagree",
        f"They give {agreement:.0%} of groups the same nearest prototype, across two augmented sweeps.",
        f"at least {AGREEMENT:.0%}; one in {run.config.prototypes.count} by chance",
    )


def _occupancy(run: RunRecord, balanced: float, occupied: float, free: float) -> Verdict:
    status = _rank(balanced, OCCUPANCY)
    than = {"good": "better", "watch": "hardly better", "bad": "no better"}[status]
    about = f"Occupancy: {than} than a coin"
    if abs(occupied - free) > LOPSIDED and status == "good":
        status, about = "watch", "Occupancy: answers lean to one side"
    return Verdict(
        status,
        about,
        f"Right on {occupied:.0%} of occupied and {free:.0%} of free places, {balanced:.0%} on average.",
        f"average at least {OCCUPANCY[1]:.0%}, sides within {LOPSIDED:.0%}; 50% is a coin, but the line of sight alone "
        "can reach 70%: iscc-train evaluate compares",
    )


def _gradient(run: RunRecord) -> Verdict | None:
    limit, norms = run.config.train.clip_norm, run.figures.get("gradient_norm", np.empty(0))
    norms = norms[np.isfinite(norms)]
    if len(norms) == 0 or limit <= 0:
        return None
    share = float(np.mean(norms > limit))
    return Verdict(
        "good" if share <= CLIPPED else "watch",
        "Gradient",
        f"{share:.0%} of the logged steps were shortened to length {limit:g}.",
        f"at most {CLIPPED:.0%}",
    )


def _ends(run: RunRecord, name: str) -> tuple[float, float]:
    """Return the means over the first and last tenth of the log; NaN where not logged."""
    return run.mean(name, last=False), run.mean(name, last=True)


def _rank(value: float, limits: tuple[float, float]) -> Status:
    return "bad" if value < limits[0] else "watch" if value < limits[1] else "good"
