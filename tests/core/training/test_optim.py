import numpy as np
import pytest
import torch
from torch import nn

from segmix_core.errors import CheckpointError
from segmix_core.training.optim import (
    AveragedWeights,
    average_decay,
    load_optimizer_tensors,
    make_optimizer,
    one_cycle,
    optimizer_tensors,
    set_learning_rate,
)


@pytest.mark.parametrize("total", [7, 40, 1000])
def test_one_cycle_rises_to_one_and_falls(total: int) -> None:
    rates = [one_cycle(step, total) for step in range(total)]
    peak = round(0.15 * (total - 1))
    assert rates[0] == pytest.approx(1 / 25)
    assert rates[peak] == 1
    assert rates[-1] == pytest.approx(1 / 1000)
    assert np.all(np.diff(rates[: peak + 1]) > 0)
    assert np.all(np.diff(rates[peak:]) < 0)


def test_one_cycle_equals_torch() -> None:
    total, first, last = 101, 1 / 25, 1 / 1000
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=1.0,
        total_steps=total,
        pct_start=(0.15 * (total - 1) + 1) / total,
        div_factor=1 / first,
        final_div_factor=first / last,
        cycle_momentum=False,
    )
    for step in range(total):
        assert one_cycle(step, total) == pytest.approx(
            schedule.get_last_lr()[0], abs=1e-6
        )
        optimizer.step()
        if step < total - 1:
            schedule.step()


@pytest.mark.parametrize("total", [1, 2, 3])
def test_one_cycle_of_very_short_runs(total: int) -> None:
    assert all(0 < one_cycle(step, total) <= 1 for step in range(total))


@pytest.mark.parametrize("step", [-1, 5])
def test_one_cycle_outside_the_run(step: int) -> None:
    with pytest.raises(ValueError, match=r"0\.\.4"):
        one_cycle(step, 5)


def make_net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 1, 1))


def test_only_matrices_decay() -> None:
    net = make_net()
    optimizer = make_optimizer(net, learning_rate=0.1, weight_decay=0.5)
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in net.named_parameters():
        factor = 0.95 if parameter.ndim > 1 else 1.0
        torch.testing.assert_close(parameter.detach(), before[name] * factor)


def test_frozen_parameters_are_left_out() -> None:
    net = make_net()
    net[0].weight.requires_grad_(False)
    optimizer = make_optimizer(net, learning_rate=0.1, weight_decay=0)
    known = [p for group in optimizer.param_groups for p in group["params"]]
    assert len(known) == len(list(net.parameters())) - 1


def step_once(net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    torch.manual_seed(5)
    optimizer.zero_grad()
    net(torch.rand(2, 3, 8, 8)).square().sum().backward()
    optimizer.step()


def test_optimizer_goes_on_as_before() -> None:
    ours, theirs = make_net(), make_net()
    first = make_optimizer(ours, learning_rate=0.1, weight_decay=0.1)
    step_once(ours, first)
    tensors = {name: t.clone() for name, t in optimizer_tensors(first, ours).items()}
    theirs.load_state_dict(ours.state_dict())
    second = make_optimizer(theirs, learning_rate=0.1, weight_decay=0.1)
    load_optimizer_tensors(second, theirs, tensors)
    for net, optimizer in ((ours, first), (theirs, second)):
        set_learning_rate(optimizer, 0.01)
        step_once(net, optimizer)
    for name, tensor in ours.state_dict().items():
        assert torch.equal(tensor, theirs.state_dict()[name])


@pytest.mark.parametrize(
    ("name", "tensor"),
    [("9.weight//exp_avg", torch.zeros(1)), ("1.bias//exp_avg", torch.zeros(7))],
)
def test_optimizer_state_of_another_network(name: str, tensor: torch.Tensor) -> None:
    net = make_net()
    optimizer = make_optimizer(net, learning_rate=0.1, weight_decay=0)
    with pytest.raises(CheckpointError, match="does not fit this network"):
        load_optimizer_tensors(optimizer, net, {name: tensor})


def test_average_follows_its_definition() -> None:
    net = make_net()
    averaged = AveragedWeights(net)
    wanted = net[0].weight.detach().clone()
    for step in range(5):
        step_once(net, torch.optim.SGD(net.parameters(), lr=1e-4))
        averaged.update(net, step, 100)
        keep = average_decay(step, 100)
        wanted = keep * wanted + (1 - keep) * net[0].weight.detach()
    torch.testing.assert_close(averaged.tensors["0.weight"], wanted)
    assert averaged.tensors["1.num_batches_tracked"] == 5


def test_average_is_lent_not_given() -> None:
    net = make_net()
    averaged = AveragedWeights(net)
    step_once(net, torch.optim.SGD(net.parameters(), lr=1e-4))
    own = {name: t.clone() for name, t in net.state_dict().items()}
    with averaged.applied(net):
        assert torch.equal(net[0].weight, averaged.tensors["0.weight"])
        assert not torch.equal(net[0].weight, own["0.weight"])
    assert all(torch.equal(t, own[name]) for name, t in net.state_dict().items())


def test_average_horizon_follows_the_run() -> None:
    assert average_decay(0, 100) == pytest.approx(0.1)
    assert average_decay(90, 100) == pytest.approx(0.9)
    assert average_decay(90_000, 100_000) == pytest.approx(0.999)
    assert average_decay(0, 1) == 0
