"""The commands ``iscc-preprocess run`` and ``iscc-train pretrain`` from Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from iscc_lidar.shared.base.config import toml_value
from iscc_lidar.shared.base.errors import UserError

OnError = Literal["stop", "skip"]
Options = Mapping[str, object]
"""Values by ``section.key``, as ``--set`` takes them."""


def as_items(options: Options | None) -> list[str]:
    """Return options as the items ``section.key=value`` of a command line. Raises UserError for another type."""
    if options is None:
        return []
    if not isinstance(options, Mapping):
        raise UserError(f'options: is a {type(options).__name__}, expected a dictionary as {{"window.sweeps": 8}}')
    return [f"{key}={_value(value)}" for key, value in options.items()]


def _value(value: object) -> str:
    if isinstance(value, list | tuple):
        return toml_value(tuple(value))
    return toml_value(value if isinstance(value, bool | int | float | str) else str(value))


def make_cache(
    dataset: str,
    root: str | Path | None,
    cache: str | Path,
    *,
    data: Options | None,
    poses: str | None,
    split: str | None,
    sequences: Sequence[str] | None,
    on_error: OnError,
    accept_content: bool,
    workers: int,
    scheduler: str | None,
    recipe: str | Path | None,
    options: Options | None,
) -> None:
    """Run ``iscc-preprocess run``; see ``functions.preprocess``."""
    from iscc_lidar.preprocess.config import PreprocessConfig
    from iscc_lidar.preprocess.datasets.registry import with_options
    from iscc_lidar.preprocess.odometry.prepare import prepare
    from iscc_lidar.preprocess.plan.select import find_dataset, select_sequences
    from iscc_lidar.preprocess.run.executor import Executor
    from iscc_lidar.preprocess.run.pipeline import preprocess
    from iscc_lidar.shared.base.config import resolve
    from iscc_lidar.shared.store.open import open_store

    if on_error not in ("stop", "skip"):
        raise UserError(f"on_error: is {on_error!r}, expected 'stop' or 'skip'")
    if workers < 0:
        raise UserError(f"workers: is {workers}, expected 0 (work in this process) or more")
    config = resolve(PreprocessConfig, None if recipe is None else Path(recipe), as_items(options))
    source = with_options(find_dataset(dataset, None if root is None else Path(root)), as_items(data))
    chosen, store = select_sequences(source, sequences, split), open_store(cache)
    source = prepare(source, poses, store.url, chosen)
    preprocess(source, store, config, Executor(workers, scheduler), chosen, on_error, accept_content)


def make_run(
    cache: str | Path | Sequence[str | Path],
    out: Path,
    *,
    recipes: Sequence[str | Path],
    options: Options | None,
    resume: bool,
    overwrite: bool,
    dry: bool,
) -> None:
    """Run ``iscc-train pretrain``; see ``functions.pretrain``."""
    from iscc_lidar.shared.cache.reader import Cache
    from iscc_lidar.trainer.pretrain.learner import PretrainLearner, pretrain
    from iscc_lidar.trainer.pretrain.recipe import find_recipes, resolve_pretrain
    from iscc_lidar.trainer.run.dry_run import dry_run
    from iscc_lidar.trainer.run.stop_signal import StoppedError

    caches = [cache] if isinstance(cache, str | Path) else list(cache)
    if not caches:
        raise UserError("cache: is an empty list, expected the folder or URL of at least one cache")
    if isinstance(recipes, str | Path):
        recipes = [recipes]
    bases = find_recipes(map(str, recipes), out if resume else None)
    config = resolve_pretrain(bases, as_items(options))
    if dry:
        print(
            dry_run(PretrainLearner([Cache(each) for each in caches], config), out, resume=resume, overwrite=overwrite)
        )
        return
    try:
        pretrain(caches, out, config, resume=resume, overwrite=overwrite)
    except StoppedError as stopped:
        raise KeyboardInterrupt(str(stopped)) from None
