"""metrics.jsonl and TensorBoard: what stays after a run that was cut off and resumed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from iscc_lidar.trainer.pretrain.learner import pretrain
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig
from iscc_lidar.trainer.run import loop


class KilledError(RuntimeError):
    pass


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing import event_accumulator

    events = event_accumulator.EventAccumulator(str(folder), size_guidance={"scalars": 0}, purge_orphaned_data=True)
    events.Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_tensorboard_holds_what_the_log_holds_also_after_a_kill(
    cache_path: Path, tiny: IsccConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    config = dataclasses.replace(tiny, train=dataclasses.replace(tiny.train, tensorboard=True))
    real, made = loop.train_step, []

    def killed_in_step_5(*arguments, **named):
        made.append(None)
        if len(made) == 6:
            raise KilledError
        return real(*arguments, **named)

    monkeypatch.setattr(loop, "train_step", killed_in_step_5)
    with pytest.raises(KilledError):
        pretrain(cache_path, tmp_path / "run", config)
    assert len((tmp_path / "run/metrics.jsonl").read_text().splitlines()) == 5
    pretrain(cache_path, tmp_path / "run", config, resume=True)  # from the checkpoint at step 3

    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(6))
    found = scalars(tmp_path / "run/tensorboard")
    assert set(found) == set(rows[0]) - {"step"}
    for name, points in found.items():
        expected = [(row["step"], row[name]) for row in rows if row[name] is not None]
        there = [(step, value) for step, value in points if value == value]  # TensorBoard keeps NaN, the log has null
        assert [step for step, _ in there] == [step for step, _ in expected]
        assert [value for _, value in there] == pytest.approx([value for _, value in expected], rel=1e-6)
