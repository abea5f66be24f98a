"""Both probes of one network: linear, and by nearest neighbours, on the same frozen features."""

from __future__ import annotations

from torch import nn

from iscc_lidar.trainer.evaluation.frozen import calibrate, see
from iscc_lidar.trainer.evaluation.job import Job, read_sweeps
from iscc_lidar.trainer.evaluation.labelled_voxels import VoxelClassifier, labelled_voxels, score_classifiers
from iscc_lidar.trainer.evaluation.linear_probe import fit_linear_probe
from iscc_lidar.trainer.evaluation.neighbour_probe import keep_neighbours
from iscc_lidar.trainer.evaluation.scores import SegmentationScore


def probe(encoder: nn.Module, job: Job) -> tuple[SegmentationScore, SegmentationScore]:
    """Scores of the linear and of the nearest-neighbour probe.

    The encoder is switched to evaluation, with batch-norm statistics of the labelled sweeps, see frozen.calibrate.
    """
    classes = len(job.class_names)
    labelled = list(read_sweeps(job.train, job.labelled, "labelled"))
    seen = [see(sweep, job.made_with) for sweep in labelled]
    calibrate(encoder, seen)
    samples = labelled_voxels(encoder, job.made_with, labelled, seen, classes)
    classifiers: dict[str, VoxelClassifier] = {
        "linear": fit_linear_probe(samples, classes),
        "neighbour": keep_neighbours(samples, job.config.neighbours, job.config.seed),
    }
    sweeps = read_sweeps(job.val, job.scored, "probes")
    scores = score_classifiers(encoder, job.made_with, classifiers, job.val, sweeps)
    return scores["linear"], scores["neighbour"]
