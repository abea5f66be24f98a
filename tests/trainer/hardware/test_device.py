import pytest
import torch

from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.trainer.engine import NATIVE
from iscc_lidar.trainer.hardware.device import choose_compute, pick_device


def test_a_cpu_computes_in_fp32_by_itself(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    compute = choose_compute("auto", "auto", "auto", activation_checkpointing=False)
    assert (compute.device.type, compute.engine, compute.half) == ("cpu", NATIVE, None)
    assert choose_compute("cpu", "native", "bf16", activation_checkpointing=True).half is torch.bfloat16


def test_cuda_where_there_is_none_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto").type == "cpu"
    with pytest.raises(UserError, match="no CUDA device"):
        pick_device("cuda")


def test_each_process_of_a_machine_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert pick_device("auto") == torch.device("cuda", 1)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(UserError, match=r"process 2.*there are 2.*--nproc-per-node"):
        pick_device("cuda")
