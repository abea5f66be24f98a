"""Encoders, segmenters and detectors: modules that take the points of sweeps."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from iscc_lidar.api.batches import is_valid, read_batch, rows_of_points
from iscc_lidar.api.checks import INTENSITY, check_labels
from iscc_lidar.data_schemas.boxes import no_boxes
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.finetune.detection.augment import Scene
from iscc_lidar.trainer.finetune.detection.config import DetectionConfig
from iscc_lidar.trainer.finetune.detection.detect import detect
from iscc_lidar.trainer.finetune.detection.network import DetectionNetwork
from iscc_lidar.trainer.finetune.semseg.averaging import GroupMeans
from iscc_lidar.trainer.finetune.semseg.learner import SegmentationNetwork
from iscc_lidar.trainer.model.unet import SparseUNet

if TYPE_CHECKING:
    from numpy.typing import NDArray

Points: TypeAlias = "NDArray[np.float32] | Tensor"
"""Points of a sweep, float32 [N, 4]: x, y, z in metres in the sensor's frame (z up), intensity 0..1."""
Rows: TypeAlias = "NDArray[Any] | Tensor"
"""A row for each point, in the form of the input: an array, or a tensor on the input's device."""


class Encoder(nn.Module):
    """A pre-trained backbone: features of points, and a module for one's own training.

    Attributes:
        network: the sparse U-Net; takes voxels.
        voxel_size_m: edge of a voxel, metres. Points in one voxel have the same features.
        channels: number of features, D.
        intensity: range of the intensity that it expects.
    """

    network: SparseUNet
    voxel_size_m: float
    channels: int
    intensity: str

    def __init__(self, network: SparseUNet) -> None:
        super().__init__()
        self.network = network
        self.voxel_size_m, self.channels = network.config.voxel_size, network.config.out_channels
        self.intensity = INTENSITY

    def forward(self, points: Points | Sequence[Points]) -> Rows | list[Rows]:
        """Compute features float32 [N, D] of a sweep's points, or a list of them for a list of sweeps.

        Points at exactly 0, 0, 0 are invalid: their features are 0, and they have no effect on others. All others
        count, also those farther away than the points of pre-training (``data.max_range_m`` of the run, 80 m).
        It computes on the device of the weights; gradients reach the weights where the points are tensors.

        Raises UserError for points of another shape, type or unit.
        """
        batch = read_batch(points)
        with torch.no_grad() if batch.needs_no_gradient else nullcontext():
            rows = rows_of_points(self.network, batch, self.voxel_size_m, self.channels, _device(self))
        return batch.give_back_rows(rows)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        """Describe it for ``repr``."""
        return f"voxel_size_m={self.voxel_size_m}, channels={self.channels}, intensity={self.intensity}"


class Segmenter(nn.Module):
    """A network that was fine-tuned for semantic segmentation.

    Attributes:
        network: takes voxels.
        class_names: names of the classes by index; 0 is unlabelled, and never predicted for a valid point.
        voxel_size_m: edge of a voxel, metres.
        intensity: range of the intensity that it expects.
    """

    network: SegmentationNetwork
    class_names: tuple[str, ...]
    voxel_size_m: float
    intensity: str

    def __init__(self, network: SegmentationNetwork, class_names: tuple[str, ...]) -> None:
        super().__init__()
        self.network, self.class_names = network, class_names
        self.voxel_size_m, self.intensity = network.encoder.config.voxel_size, INTENSITY

    @torch.no_grad()
    def forward(self, points: Points | Sequence[Points]) -> Rows | list[Rows]:
        """Return the class index of each point, uint8 [N], for one sweep or each of a list; 0 for invalid points.

        Raises UserError for points of another shape, type or unit.
        """

        def classes(coords: Tensor, feats: Tensor) -> Tensor:
            logits: Tensor = self.network(coords, feats)
            return (logits.argmax(dim=1, keepdim=True) + 1).to(torch.uint8)

        batch = read_batch(points)
        rows = rows_of_points(classes, batch, self.voxel_size_m, 1, _device(self))
        return batch.give_back_rows([found[:, 0].to(torch.uint8) for found in rows])  # type: ignore[no-any-return]

    @torch.no_grad()
    def probabilities(self, points: Points | Sequence[Points]) -> Rows | list[Rows]:
        """Return the probability of each class for each point, float32 [N, C], columns as ``class_names``.

        Column 0 is 0; so are the rows of invalid points. Raises UserError as the call.
        """

        def softmax(coords: Tensor, feats: Tensor) -> Tensor:
            known = self.network(coords, feats).softmax(dim=1)
            return torch.cat([known.new_zeros(len(known), 1), known], dim=1)

        batch = read_batch(points)
        rows = rows_of_points(softmax, batch, self.voxel_size_m, len(self.class_names), _device(self))
        return batch.give_back_rows(rows)  # type: ignore[no-any-return]

    @torch.no_grad()
    def average_groups(self, sweeps: Sequence[Points], labels: Sequence[NDArray[np.int32]]) -> list[Rows]:
        """Return the class of each point, uint8 [N], averaged with its group over all given sweeps.

        The probabilities of a point count half, their mean over its group the other half. Points without a group
        keep their own. The sweeps are predicted one by one.

        Args:
            sweeps: of one sequence.
            labels: int32 [N] each, of a cache or of ``group``; groups have the same number in all sweeps.

        Raises:
            UserError: points as in the call, or labels that do not fit them.
        """
        means = GroupMeans(len(self.class_names))
        checked = check_labels(labels, read_batch(list(sweeps)).sweeps)
        for points, label in zip(sweeps, checked, strict=True):
            means.add(label, self._probability(points))
        return [self._averaged(means, points, label) for points, label in zip(sweeps, checked, strict=True)]

    def _probability(self, points: Points) -> NDArray[np.float32]:
        found = self.probabilities(points)
        return np.asarray(found.cpu() if isinstance(found, Tensor) else found, np.float32)

    def _averaged(self, means: GroupMeans, points: Points, label: NDArray[np.int32]) -> Rows:
        classes = means.average(label, self._probability(points)).argmax(axis=1).astype(np.uint8)
        return torch.from_numpy(classes).to(points.device) if isinstance(points, Tensor) else classes


@dataclass(frozen=True)
class DetectedBoxes:
    """The B boxes found in a sweep, upright in the sensor's frame, by class, the highest score first.

    Attributes:
        class_name: name of each box's class.
        class_index: int64 [B], index into the detector's ``class_names``.
        centre: float64 [B, 3], metres.
        size: float64 [B, 3], length along the heading, width, height, metres.
        heading: float64 [B], radians about z, from x to y.
        score: float64 [B], 0..1.
    """

    class_name: tuple[str, ...]
    class_index: Rows
    centre: Rows
    size: Rows
    heading: Rows
    score: Rows

    def __len__(self) -> int:
        return len(self.class_name)

    def to(self, device: torch.device) -> DetectedBoxes:
        """Return the same boxes as tensors on a device."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self)[1:]}
        tensors = {name: torch.as_tensor(found).to(device) for name, found in arrays.items()}
        return DetectedBoxes(self.class_name, **tensors)


class Detector(nn.Module):
    """A network that was fine-tuned for 3-D detection.

    Attributes:
        network: takes voxels and grid cells.
        class_names: names of the classes that it finds.
        voxel_size_m: edge of a voxel, metres.
        intensity: range of the intensity that it expects.
    """

    network: DetectionNetwork
    class_names: tuple[str, ...]
    voxel_size_m: float
    intensity: str

    def __init__(self, network: DetectionNetwork, config: DetectionConfig) -> None:
        super().__init__()
        self.network, self._config = network, config
        self.class_names, self.voxel_size_m = config.classes.names, config.model.voxel_size
        self.intensity = INTENSITY

    @torch.no_grad()
    def forward(
        self, points: Points | Sequence[Points], min_score: float | None = None
    ) -> DetectedBoxes | list[DetectedBoxes]:
        """Find boxes in a sweep, or in each of a list.

        Args:
            points: only those within the grid of the run's options count (KITTI: 70 m ahead, 40 m to the sides).
            min_score: leave out boxes with a lower score; by default ``decode.min_score`` of the run, 0.03, which
                suits average precision; 0.3 leaves the likely ones.

        Raises:
            UserError: points of another shape, type or unit, or ``min_score`` beyond 0..1.
        """
        config, batch = self._config, read_batch(points)
        if min_score is not None:
            if not 0 <= min_score <= 1:
                raise UserError(f"min_score: is {min_score}, expected 0..1")
            config = replace(config, decode=replace(config.decode, min_score=float(min_score)))
        found = [self._detect(sweep, config) for sweep in batch.sweeps]
        return batch.give_back(found, lambda boxes: boxes, DetectedBoxes.to)  # type: ignore[no-any-return]

    def _detect(self, points: NDArray[np.float32], config: DetectionConfig) -> DetectedBoxes:
        seen = points[is_valid(points) & config.grid.contains(points[:, :3])]
        scene = Scene(seen[:, :3], seen[:, 3], np.zeros(len(seen), np.bool_), no_boxes())
        boxes, score = detect(self.network, scene, config, _device(self))
        names = tuple(boxes.kind.tolist())
        index = np.array([self.class_names.index(name) for name in names], np.int64)
        return DetectedBoxes(names, index, boxes.centre, boxes.size, boxes.heading, score)


def _device(module: nn.Module) -> torch.device:
    return next(module.parameters()).device
