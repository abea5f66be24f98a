"""``--to pointcept``: a checkpoint for Pointcept, with a backbone for its registry.

Pointcept has no sparse U-Net of our shape: SpUNet has one stem convolution of kernel 5 and changes the width in
the strided one, SPVCNN adds a point branch to ours. Its voxels are (batch, x, y, z).
"""

from __future__ import annotations

from typing import Final

from iscc_lidar.trainer.export.description import Export
from iscc_lidar.trainer.export.source import TrainedRun
from iscc_lidar.trainer.export.spconv_network import (
    NETWORK_FILE,
    WEIGHTS_FILE,
    Checkpoint,
    network_files,
    network_options,
    plain_snippet,
)
from iscc_lidar.trainer.model.unet import ModelConfig

LAYOUT: Final = "spconv 2: `weight` [C_out, k, k, k, C_in], kernel axes x, y, z; kernel 1 is a Linear [C_out, C_in]."
MODULE_FILE: Final = "iscc_pointcept.py"
CONFIG_FILE: Final = "iscc_config.py"
# CheckpointLoader puts "module." before every name and removes it again without DDP.
CHECKPOINT: Final = Checkpoint(key="state_dict", prefix="backbone.network.", axes="xyz")


def export(run: TrainedRun) -> Export:
    """Export for Pointcept."""
    config = _config(run.config.model)
    files = network_files(run, CHECKPOINT, MODULE_FILE) | {CONFIG_FILE: config.encode()}
    scaling = "The network multiplies the features by `times` itself: give it metres, as Pointcept does."
    return Export(LAYOUT, scaling, files, _how_to_load(run.config.model, config))


def _how_to_load(model: ModelConfig, config: str) -> str:
    return f"""\
1. Copy `{NETWORK_FILE}` and `{MODULE_FILE}` to `pointcept/models/sparse_unet/`, and add to its `__init__.py`:
   `from .iscc_pointcept import *`
2. Copy what your config needs from `{CONFIG_FILE}`, and name the weights, in the config or as
   `-w .../{WEIGHTS_FILE}`. `CheckpointLoader` (in the default hooks) loads them; only `seg_head` is missing.

```python
{config}```

`GridSample` keeps one point of each voxel, at random; in pre-training the features are means over its points.

With spconv alone, in this folder:

```python
{plain_snippet(model, CHECKPOINT)}```
"""


def _config(model: ModelConfig) -> str:
    options = "".join(f"        {name}={value!r},\n" for name, value in network_options(model).items())
    return f"""\
# What a Pointcept config needs, for example configs/semantic_kitti/semseg-spunet-v1m1-0-base.py.
weight = "{WEIGHTS_FILE}"
model = dict(
    type="DefaultSegmentorV2",
    num_classes=19,
    backbone_out_channels={model.out_channels},
    backbone=dict(
        type="ISCC-SparseUNet",
{options}    ),
    criteria=[dict(type="CrossEntropyLoss", loss_weight=1.0, ignore_index=-1)],
)
# In the transforms: every GridSample with grid_size={model.voxel_size!r}; Collect with feat_keys=("coord", "strength").
# No CenterShift: x, y, z are features, and their origin is the sensor.
"""
