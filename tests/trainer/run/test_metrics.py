"""metrics.jsonl and TensorBoard: what is read of a log, and what stays after a run that was cut off and resumed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.pretrain.learner import pretrain
from iscc_lidar.trainer.pretrain.methods.iscc import IsccConfig
from iscc_lidar.trainer.run.metrics import read_metrics

from steps import KilledError, die_in_step


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
    with monkeypatch.context() as patch:
        die_in_step(patch, 5)
        with pytest.raises(KilledError):
            pretrain([cache_path], tmp_path / "run", config)
    assert len((tmp_path / "run/metrics.jsonl").read_text().splitlines()) == 5
    pretrain([cache_path], tmp_path / "run", config, resume=True)  # from the checkpoint at step 3

    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(6))
    found = scalars(tmp_path / "run/tensorboard")
    assert set(found) == set(rows[0]) - {"step"}
    for name, points in found.items():
        expected = [(row["step"], row[name]) for row in rows if row[name] is not None]
        there = [(step, value) for step, value in points if value == value]  # TensorBoard keeps NaN, the log has null
        assert [step for step, _ in there] == [step for step, _ in expected]
        assert [value for _, value in there] == pytest.approx([value for _, value in expected], rel=1e-6)


def test_a_log_is_read_up_to_a_torn_last_line(tmp_path: Path):
    log = tmp_path / "metrics.jsonl"
    assert read_metrics(log) == ([], False)
    log.write_bytes(b'{"step": 0, "loss": 2, "share": null}\n{"step": 3, "loss": 1.5}\n')
    rows, torn = read_metrics(log)
    assert [(row.step, row.figures) for row in rows] == [(0, {"loss": 2.0, "share": None}), (3, {"loss": 1.5})]
    assert not torn
    for end in (b'{"step": 4, "lo', b'{"step": 4, "loss": "\xc3'):
        log.write_bytes(b'{"step": 0, "loss": 2}\n' + end)
        rows, torn = read_metrics(log)
        assert ([row.step for row in rows], torn) == ([0], True)


@pytest.mark.parametrize("line", ['{"step": 1', '{"loss": 1.0}', '{"step": "1"}', "[1]"])
def test_any_other_line_that_is_no_logged_step_is_an_error(tmp_path: Path, line: str):
    log = tmp_path / "metrics.jsonl"
    log.write_text(f'{{"step": 0}}\n{line}\n{{"step": 2}}\n')
    with pytest.raises(UserError, match=r"metrics\.jsonl: line 2 is not a logged step"):
        read_metrics(log)
