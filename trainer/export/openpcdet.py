"""``--to openpcdet``: a checkpoint for OpenPCDet, with a 3D backbone for it.

OpenPCDet's UNetV2 has strided convolutions of kernel 3 and another decoder. Its voxels are (batch, z, y, x).
"""

from __future__ import annotations

from typing import Final

from iscc_lidar.trainer.export.description import Export
from iscc_lidar.trainer.export.source import TrainedRun
from iscc_lidar.trainer.export.spconv_network import CodeBase, network_export, network_options
from iscc_lidar.trainer.export.templates import fill

BASE: Final = CodeBase("OpenPCDet", "model_state", "backbone_3d.network.", "zyx", config_file="iscc_config.yaml")


def export(run: TrainedRun) -> Export:
    """Export for OpenPCDet."""
    model = run.config.model
    options = network_options(model)
    del options["in_channels"]  # OpenPCDet passes them itself
    config = fill(
        "openpcdet_config.tmpl",
        options="".join(
            f"        {name.upper()}: {list(value) if isinstance(value, tuple) else value}\n"
            for name, value in options.items()
        ),
        voxel_size=model.voxel_size,
        coarsest_width=model.encoder_widths[-1],
        coarsest_stride=2 ** len(model.encoder_widths),
    )
    return network_export(run, BASE, config)
