"""``MODEL_CARD.md``: what the weights were trained on, how to load them, their input, figures and limitations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from iscc_lidar.shared.base.config import to_toml
from iscc_lidar.shared.base.text import code_block, code_span, markdown
from iscc_lidar.trainer.export.description import Export, input_of
from iscc_lidar.trainer.export.source import TrainedRun
from iscc_lidar.trainer.finetune.tasks import title_of
from iscc_lidar.trainer.pretrain.method import find_method
from iscc_lidar.trainer.run.metrics import LoggedStep

CARD_FILE: Final = "MODEL_CARD.md"
_LAST_ROWS: Final = 10
_FIGURES: Final = ("prototypes_used", "accuracy", "cosine_same", "cosine_others", "occupancy_accuracy_balanced")

_BATCH_NORM: Final = "Batch norm: eps 1e-5, momentum 0.1. With another eps the same weights give other features."

_LIMITATIONS: Final = """\
- Trained on one sensor, its mounting height (z is a feature), density and intensities. For another sensor fine-tune all
  layers, or pre-train on that sensor's sweeps.
- The voxel size is part of the weights: another voxel size gives other features.
- The running statistics of the batch norms are those of augmented views (rotated, scaled, points dropped, balls
  masked). For use without fine-tuning, recompute them on some unaugmented sweeps first."""


def model_card(run: TrainedRun, target: str, export: Export) -> str:
    """Return the card of an export, Markdown."""
    sections = {
        "How to load it": export.how_to_load,
        "Input": _input(run, export.scaling),
        "Weights": f"{export.layout}\n\n{_BATCH_NORM}",
        "Trained on": _data(run),
        "Training": _training(run),
        "Figures": _figures(run),
        "Limitations": _limitations(run),
        "Licence": _licence(run),
    }
    title = f"# Sparse U-Net for LiDAR, {title_of(run.run, run.config)}, for {target}"
    parts = [title, _summary(run)]
    for heading, text in sections.items():
        parts += [f"## {heading}", text.strip()]
    return "\n\n".join(parts) + "\n"


def _summary(run: TrainedRun) -> str:
    model = run.config.model
    parameters = sum(t.numel() for name, t in run.weights.items() if name.endswith(("kernel", "weight", "bias")))
    return f"""\
A backbone for the sparse voxels of a LiDAR sweep, {_origin(run)}.

- {parameters:,} parameters; {model.out_channels} features per voxel of {model.voxel_size:g} m.
- A residual U-Net after MinkUNet: stem of {model.stem_width} channels, encoder {_list(model.encoder_widths)} at strides
  2, 4, 8 and so on, decoder {_list(model.decoder_widths)}, residual blocks per stage: {model.blocks}.
- `config.json` has the exact description, machine-readable."""


def _origin(run: TrainedRun) -> str:
    if run.run.task == "pretrain":
        return f"pre-trained without labels with iscc-lidar, by\n{find_method(run.config.method.name).about}"
    start = markdown(run.run.provenance.get("encoder", "unknown"))
    return f"{title_of(run.run, run.config)} with iscc-lidar,\nstarting from the backbone: {start}"


def _input(run: TrainedRun, scaling: str) -> str:
    about = input_of(run)
    rows = "\n".join(f"| {f['name']} | {f['what']} | {f['times']:.9g} |" for f in about["features"])
    return f"""\
- Points: {about["points"]}. Frame: {about["frame"]}.
- Intensity: {about["intensity"]}.
- Voxels: cubes of {about["voxel_size_m"]:g} m; coordinates are {about["coordinates"]}.

| feature | what | times |
|---|---|---|
{rows}

{scaling}"""


def _data(run: TrainedRun) -> str:
    digest = code_span(run.run.provenance.get("cache_manifest_sha256", "unknown"))
    if run.data is None:
        return f"""\
The cache was not found during the export, so the dataset is not named here (give its place by
`iscc-train export --cache`). SHA-256 of its manifest: {digest}."""
    sweeps = sum(sequence.sweeps for sequence in run.data.sequences)
    used = markdown(run.run.provenance.get("list of labelled sweeps", "unknown"))
    labels = "No labels" if run.run.task == "pretrain" else f"Labels of {used}"
    return f"""\
Dataset {code_span(run.data.dataset)}; sequences: {len(run.data.sequences)}, sweeps: {sweeps}. {labels}.
SHA-256 of the cache's manifest: {digest}."""


def _training(run: TrainedRun) -> str:
    train = run.config.train
    steps = run.run.steps
    state = "finished" if run.step >= steps else f"**unfinished**: checkpoint at step {run.step} of {steps}"
    versions = ", ".join(f"{k} {v}" for k, v in run.run.provenance.get("versions", {}).items())
    samples = "pairs of sweeps" if run.run.task == "pretrain" else "labelled sweeps"
    return f"""\
Steps: {run.step}, batches of {train.batch_size} ({samples}), seed {train.seed}; {state}.
Versions: {markdown(versions or "unknown")}.

{_losses(run.metrics)}

<details><summary>All options, as a recipe</summary>

{code_block(to_toml(run.config), "toml")}

</details>"""


def _losses(metrics: Sequence[LoggedStep]) -> str:
    rows = metrics[-_LAST_ROWS:]
    if not rows:
        return "Losses: unknown, there was no metrics.jsonl."
    lines = []
    for name in rows[-1].figures:
        values = [value for row in rows if (value := row.figures.get(name)) is not None]
        if values and (name.startswith("loss") or name in _FIGURES):
            lines.append(f"| {markdown(name)} | {sum(values) / len(values):.4f} |")
    head = f"Mean over the last {len(rows)} logged steps ({rows[0].step} to {rows[-1].step}):"
    return "\n".join([head, "", "| figure | mean |", "|---|---|", *lines])


def _figures(run: TrainedRun) -> str:
    probes = [("linear probe", "linear_probe"), ("nearest neighbours", "neighbour_probe")]
    figures = [
        (f"{title}, {name}: mIoU", scores.get("miou"))
        for title, key in probes
        for name, scores in run.evaluation.get(key, {}).items()
    ]
    occupancy = run.evaluation.get("occupancy", {})
    figures += [(f"occupancy, {name}: balanced accuracy", scores.get("balanced")) for name, scores in occupancy.items()]
    if not figures:
        return "None: the run was not evaluated (`iscc-train evaluate`)."
    rows = [f"| {markdown(name)} | {value:.3f} |" for name, value in figures if isinstance(value, float)]
    lines = ["Frozen features on unseen sequences:", "", "| | |", "|---|---|", *rows]
    options = run.evaluation.get("options")
    return "\n".join(lines) + (f"\n\nOptions of the evaluation: {code_span(json.dumps(options))}." if options else "")


def _limitations(run: TrainedRun) -> str:
    if run.run.task == "pretrain":
        return f"""\
- A backbone, not a detector or segmentation network: it needs a head and labels. It has not learnt classes.
{_LIMITATIONS}
- These are the student's weights. Teacher, heads and prototypes (or queue) are not part of the export."""
    return f"""\
- A backbone without the head that it was fine-tuned with, which is not part of the export.
{_LIMITATIONS}"""


def _licence(run: TrainedRun) -> str:
    name = code_span(run.data.dataset) if run.data is not None else "the dataset above"
    return f"""\
The program is Apache-2.0. Weights inherit the terms of the data that they were trained on: those of {name}
(`iscc-preprocess datasets` shows where to find them). Read them before you pass the weights on or use them
commercially."""


def _list(values: Sequence[int]) -> str:
    return ", ".join(str(value) for value in values)
