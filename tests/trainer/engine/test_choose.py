from __future__ import annotations

import importlib
import os
import sys
import warnings
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType

import pytest
import torch

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.engine import NATIVE, check, choose
from iscc_lidar.trainer.engine.choose import load_engine

import torchsparse_stand_in as stand_in

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
STAND_IN = Path(stand_in.__file__)


@pytest.fixture(autouse=True)
def _fresh() -> None:
    choose._fault.cache_clear()


def installed(monkeypatch: pytest.MonkeyPatch, fault: str | None) -> None:
    monkeypatch.setattr(choose, "_installed", lambda: True)
    monkeypatch.setattr(choose, "_fault", lambda device: fault)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())


def put_on_path(folder: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    """Make a child process find a torchsparse of this source."""
    (folder / "torchsparse").mkdir()
    (folder / "torchsparse" / "__init__.py").write_text(source)
    paths = [str(folder), *(str(Path(p).resolve()) for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))


def test_nothing_of_torchsparse_is_touched_where_it_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> bool:
        raise AssertionError("looked for torchsparse")

    monkeypatch.setattr(choose, "_installed", fail)
    assert load_engine("auto", CPU) is NATIVE
    assert load_engine("native", CPU) is NATIVE
    assert load_engine("native", CUDA) is NATIVE


def test_auto_without_torchsparse_is_native_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "_installed", lambda: False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_engine("auto", CUDA) is NATIVE


def test_a_clone_in_the_working_folder_is_not_an_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torchsparse", raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert not choose._installed()
    (tmp_path / "torchsparse").mkdir()
    assert not choose._installed()
    (tmp_path / "torchsparse" / "__init__.py").touch()
    importlib.invalidate_caches()
    assert choose._installed()


def test_torchsparse_asked_for_and_absent_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"needs a CUDA device, and this run computes on cpu.*docs/torchsparse\.md"):
        load_engine("torchsparse", CPU)
    monkeypatch.setattr(choose, "_installed", lambda: False)
    with pytest.raises(UserError, match=r"not installed.*docs/torchsparse\.md.*train\.engine=native"):
        load_engine("torchsparse", CUDA)


def test_a_failed_check_is_an_error_or_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, fault="its check failed: level 1 has 48 voxels, not 115")
    with pytest.raises(UserError, match="level 1 has 48 voxels, not 115"):
        load_engine("torchsparse", CUDA)
    with pytest.warns(UserWarning, match=r"level 1 has 48 voxels.*Continuing with the native engine"):
        assert load_engine("auto", CUDA) is NATIVE


@pytest.mark.parametrize("version", ["2.0.0b0", "1.4.0", "2.10.0"])
def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    module = ModuleType("torchsparse")
    module.__dict__["__version__"] = version
    monkeypatch.setitem(sys.modules, "torchsparse", module)
    installed(monkeypatch, fault=None)
    with pytest.raises(UserError, match=rf"version 2\.1 is needed, {version} is installed"):
        load_engine("torchsparse", CUDA)


def test_an_import_that_raises_anything_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchsparse", ModuleType("torchsparse"))  # a folder that is no package
    installed(monkeypatch, fault=None)
    with pytest.raises(UserError, match="its import fails with AttributeError"):
        load_engine("torchsparse", CUDA)
    with pytest.warns(UserWarning, match="AttributeError"):
        assert load_engine("auto", CUDA) is NATIVE


def test_a_crash_while_importing_ends_the_check_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_on_path(tmp_path, monkeypatch, "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    assert "failed: Segmentation fault" in str(choose._fault(CPU))


def test_the_check_passes_in_a_process_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_on_path(tmp_path, monkeypatch, STAND_IN.read_text())
    assert choose._fault(CPU) is None


def test_a_passed_check_gives_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = ModuleType("adapter")
    module = ModuleType("torchsparse")
    module.__dict__["__version__"] = "2.1.0+torch28cu128"
    monkeypatch.setitem(sys.modules, "torchsparse", module)
    monkeypatch.setitem(sys.modules, "iscc_lidar.trainer.engine.torchsparse_engine", adapter)
    installed(monkeypatch, fault=None)
    assert load_engine("torchsparse", CUDA) is adapter
    assert load_engine("auto", CUDA) is adapter


def test_the_command_tells_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main(["native", "--device", "cpu"]) == 0
    assert "agrees with native: float32 within" in capsys.readouterr().out


def test_the_command_fails_without_torchsparse(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torchsparse", None)
    assert check.main(["torchsparse", "--device", "cpu"]) == 1
    assert "its import fails with ModuleNotFoundError" in capsys.readouterr().err


def test_the_commands_last_line_tells_any_failure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(engine: object, device: torch.device) -> None:
        raise RuntimeError("CUDA error: no kernel image is available\nCompile with such and such")

    monkeypatch.setattr(check, "check_engine", fail)
    assert check.main(["native", "--device", "cpu"]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == "RuntimeError: CUDA error: no kernel image is available"


def test_the_command_without_a_gpu_says_so(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert check.main(["torchsparse"]) == 1
    assert capsys.readouterr().err == "PyTorch finds no CUDA device\n"
