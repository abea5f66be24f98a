"""``--to pointcept``: a checkpoint for Pointcept, with a backbone for its registry.

Pointcept has no sparse U-Net of our shape: SpUNet has one stem convolution of kernel 5 and changes the width in
the strided one, SPVCNN adds a point branch to ours. Its voxels are (batch, x, y, z).
"""

from __future__ import annotations

from typing import Final

from iscc_lidar.trainer.export.description import Export
from iscc_lidar.trainer.export.source import TrainedRun
from iscc_lidar.trainer.export.spconv_network import CodeBase, network_export, network_options
from iscc_lidar.trainer.export.templates import fill

# CheckpointLoader puts "module." before every name and removes it again without DDP.
BASE: Final = CodeBase("Pointcept", "state_dict", "backbone.network.", "xyz", config_file="iscc_config.py")


def export(run: TrainedRun) -> Export:
    """Export for Pointcept."""
    model = run.config.model
    config = fill(
        "pointcept_config.tmpl",
        options="".join(f"        {name}={value!r},\n" for name, value in network_options(model).items()),
        out_channels=model.out_channels,
        voxel_size=model.voxel_size,
    )
    return network_export(run, BASE, config)
