"""The engine's C kernels, beside what pyproject.toml declares. Without a compiler the build goes on without them."""

from setuptools import Extension, setup

_NATIVE = "src/iscc_lidar/trainer/engine/native/"

setup(
    ext_modules=[
        Extension(
            "iscc_lidar.trainer.engine.native._cpu_kernels",
            sources=[_NATIVE + "cpu_kernels.c"],
            depends=[_NATIVE + "cpu_tiles.h"],
            extra_compile_args=["-O3", "-g0", "-pthread"],
            extra_link_args=["-pthread"],
            optional=True,
        )
    ]
)
