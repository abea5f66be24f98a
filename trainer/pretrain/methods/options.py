"""Which method is trained, and the options of the methods that ISCC is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from iscc_lidar.shared.base.config import option

MethodName = Literal["iscc", "segcontrast", "pointcontrast", "depthcontrast", "sspl"]


@dataclass(frozen=True)
class MethodConfig:
    """The method's name; all else here is for the others than ISCC, whose options are sections of their own."""

    name: MethodName = option("iscc", "what is trained; the recipe of the same name sets the options that go with it")
    temperature: float = option(0.1, "tau of InfoNCE [SegContrast, DepthContrast]; PointContrast has .07")
    queue: int = option(
        65_536,
        "latest teacher features, the negatives of segcontrast and depthcontrast [both papers]",
    )
    negatives: Literal["batch", "scene"] = option(
        "batch",
        "those of pointcontrast and sspl: other regions of the micro-batch [PointContrast], or of the same scene",
    )
    matches: int = option(
        1024,
        "most regions a pair of views in pointcontrast and sspl, drawn at random; PointContrast: 4,096 a batch of 4; "
        "cost grows with its square [choice]",
    )
    volume_m: float = option(1.0, "edge of sspl's cubes of space, metres: about the size of a part of a car [choice]")

    def __post_init__(self) -> None:
        for name in ("temperature", "queue", "matches", "volume_m"):
            if getattr(self, name) <= 0:
                raise ValueError(f"method.{name} must be above 0, not {getattr(self, name)}")
