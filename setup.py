"""The C of this package, beside what pyproject.toml declares. Without a compiler the build goes on without it."""

from setuptools import Extension, setup

_ENGINE = "src/iscc_lidar/trainer/engine/native/"
_SEGMENT = "src/iscc_lidar/preprocess/segment/native/"

setup(
    ext_modules=[
        Extension(
            "iscc_lidar.trainer.engine.native._cpu_kernels",
            sources=[_ENGINE + "cpu_kernels.c"],
            depends=[_ENGINE + "cpu_tiles.h"],
            extra_compile_args=["-O3", "-g0", "-pthread"],
            extra_link_args=["-pthread"],
            optional=True,
        ),
        Extension(
            "iscc_lidar.preprocess.segment.native._spanning_tree",
            sources=[_SEGMENT + "spanning_tree.c"],
            extra_compile_args=["-O3", "-g0", "-ffp-contract=off"],  # the same sums on every machine
            extra_link_args=["-lm"],
            optional=True,
        ),
    ]
)
