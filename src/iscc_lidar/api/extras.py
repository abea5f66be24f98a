"""A missing optional package as an error that names the extra to install."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from iscc_lidar.shared.base.errors import missing_package


@contextmanager
def needs(extra: Literal["preprocess", "train"]) -> Iterator[None]:
    """Raise UserError where an import in the block fails for want of a package of ``extra``."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "iscc_lidar":
            raise
        raise missing_package("this", str(error.name), extra) from None
