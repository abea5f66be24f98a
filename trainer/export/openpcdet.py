"""``--to openpcdet``: a checkpoint for OpenPCDet, with a 3D backbone for it.

OpenPCDet's UNetV2 has strided convolutions of kernel 3 and another decoder. Its voxels are (batch, z, y, x).
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

LAYOUT: Final = "spconv 2: `weight` [C_out, k, k, k, C_in], kernel axes z, y, x; kernel 1 is a Linear [C_out, C_in]."
MODULE_FILE: Final = "iscc_openpcdet.py"
CONFIG_FILE: Final = "iscc_config.yaml"
CHECKPOINT: Final = Checkpoint(key="model_state", prefix="backbone_3d.network.", axes="zyx")


def export(run: TrainedRun) -> Export:
    """Export for OpenPCDet."""
    config = _config(run.config.model)
    files = network_files(run, CHECKPOINT, MODULE_FILE) | {CONFIG_FILE: config.encode()}
    scaling = "The network multiplies the features by `times` itself: give it metres, as OpenPCDet does."
    return Export(LAYOUT, scaling, files, _how_to_load(run.config.model, config))


def _how_to_load(model: ModelConfig, config: str) -> str:
    return f"""\
1. Copy `{NETWORK_FILE}` and `{MODULE_FILE}` to `pcdet/models/backbones_3d/`, and add to its `__init__.py`:
   `from .iscc_openpcdet import ISCCUNet`, and `'ISCCUNet': ISCCUNet,` in `__all__`.
2. Copy what your config needs from `{CONFIG_FILE}`, and train with
   `--pretrained_model .../{WEIGHTS_FILE}`. OpenPCDet silently skips weights that do not fit: the log must name no
   `backbone_3d` weight among those not updated.

```yaml
{config}```

The backbone gives `point_features` and `point_coords`, as UNetV2 does, and the coarsest level as
`encoded_spconv_tensor`.

With spconv alone, in this folder:

```python
{plain_snippet(model, CHECKPOINT)}```
"""


def _config(model: ModelConfig) -> str:
    options = "".join(
        f"        {name.upper()}: {list(value) if isinstance(value, tuple) else value}\n"
        for name, value in network_options(model).items()
        if name != "in_channels"
    )
    v = model.voxel_size
    return f"""\
# What an OpenPCDet config needs. Voxel sizes are x, y, z; choose a POINT_CLOUD_RANGE of whole voxels.
DATA_CONFIG:
    POINT_FEATURE_ENCODING:
        encoding_type: absolute_coordinates_encoding
        used_feature_list: [x, y, z, intensity]
        src_feature_list: [x, y, z, intensity]
    # in DATA_PROCESSOR: {{NAME: transform_points_to_voxels_placeholder, VOXEL_SIZE: [{v}, {v}, {v}]}}
MODEL:
    VFE:
        NAME: DynamicMeanVFE  # the mean of all points; MeanVFE stops at MAX_POINTS_PER_VOXEL
    BACKBONE_3D:
        NAME: ISCCUNet
{options}    # With a BEV head, MAP_TO_BEV (HeightCompression) has NUM_BEV_FEATURES = {model.encoder_widths[-1]} times
    # the grid's height in cells of {2 ** len(model.encoder_widths)} voxels, rounded up.
"""
