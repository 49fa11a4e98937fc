import pytest
import torch
from torch import nn

from segmix_core.cores import default_threads
from segmix_core.errors import ConfigError
from segmix_core.training.device import (
    launched_processes,
    make_equal,
    make_fabric,
    resolve_device,
    set_threads,
)


def test_cpu_is_always_there() -> None:
    assert resolve_device("cpu") == torch.device("cpu")


def test_auto_takes_the_fastest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve_device("auto") == resolve_device("mps") == torch.device("mps")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto") == torch.device("cuda", 0)


def test_cuda_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("cuda") == torch.device("cuda", 0)
    assert resolve_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(ConfigError, match=r"no CUDA device 2; the last one is 1"):
        resolve_device("cuda:2")


def test_no_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="PyTorch finds no CUDA device"):
        resolve_device("cuda")


def test_no_metal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="a Mac with Metal"):
        resolve_device("mps")


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cpu:0", ""])
def test_unknown_names(name: str) -> None:
    with pytest.raises(ConfigError, match="not a valid device"):
        resolve_device(name)


def test_threads() -> None:
    before = torch.get_num_threads()
    try:
        assert set_threads(1) == torch.get_num_threads() == 1
        assert set_threads() == default_threads()
    finally:
        set_threads(before)
    with pytest.raises(ValueError, match="threads must be >= 0"):
        set_threads(-1)


def test_fabric_on_the_cpu_computes_in_32_bits() -> None:
    fabric = make_fabric(torch.device("cpu"))
    with fabric.autocast():
        assert nn.Linear(2, 2)(torch.ones(1, 2)).dtype == torch.float32
    assert (fabric.world_size, fabric.device.type) == (1, "cpu")


def test_fabric_computes_in_bf16_where_it_is_told_to() -> None:
    fabric = make_fabric(torch.device("cpu"), precision="bf16")
    with fabric.autocast():
        assert nn.Linear(2, 2)(torch.ones(1, 2)).dtype == torch.bfloat16


def test_one_process_is_equal_to_itself() -> None:
    net = nn.Linear(2, 2)
    before = net.weight.detach().clone()
    make_equal(net, make_fabric(torch.device("cpu")))
    assert torch.equal(net.weight, before)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, (1, 1)),
        ({"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}, (2, 1)),
        ({"WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"}, (4, 2)),
    ],
)
def test_torchrun_says_how_many_processes(environment, expected):
    assert launched_processes(environment) == expected
