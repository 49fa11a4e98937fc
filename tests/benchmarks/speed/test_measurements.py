"""The measurements run, on less than they measure."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.speed import adding, cams, modes, pcm, shuffle, step, store_latency
from benchmarks.speed.comparison import Table, in_turns, processor_times, ratio
from segmix_core.models.cam_classifier import CamClassifier
from segmix_core.models.pcm import spread

IMAGES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_ways_take_turns_and_the_first_call_does_not_count() -> None:
    called: list[str] = []
    ways = {name: lambda name=name: called.append(name) for name in "ab"}
    seconds = in_turns(ways, 3)
    assert "".join(called) == "ab" + "ba" + "ab" + "ba"
    assert {name: len(taken) for name, taken in seconds.items()} == {"a": 3, "b": 3}
    wall, processor = processor_times(ways, 2)
    assert [len(taken["b"]) for taken in (wall, processor)] == [2, 2]


def test_a_ratio_is_the_median_of_the_turns() -> None:
    assert ratio(np.array([8.0, 9.0, 30.0]), np.array([2.0, 3.0, 3.0])) == (
        "4.0 (3.5-7.0)"
    )


def test_cams_are_measured_from_files_to_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cams, "SIDE", 2)
    monkeypatch.setattr(cams, "TURNS", 1)
    monkeypatch.setattr(cams, "find_spec", lambda name: None)
    (table,) = cams.tables()
    measured = [row[0] for row in table.rows]
    assert measured[0] == "`segmix cams`, from 4 PNG files to the stored maps"
    assert measured[-1].startswith("forward pass")
    assert all(float(row[1]) > 0 for row in table.rows)


def test_maps_are_compared_with_equal_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pytorch_grad_cam")
    monkeypatch.setattr(cams, "BATCH", 2)
    torch.manual_seed(0)
    model = CamClassifier(num_classes=len(cams.CLASSES), width=8).eval()
    images = torch.rand(3, 3, 48, 32)
    bare = cams._forward(model, images).relu()
    sized = F.interpolate(scaled(bare), images.shape[-2:], mode="bilinear")
    # The package resizes with another library.
    found = torch.from_numpy(cams._grad_cam(model, images))
    torch.testing.assert_close(found, scaled(sized), atol=2e-3, rtol=0)


def scaled(maps: Tensor) -> Tensor:
    low, high = (f(maps, dim=(2, 3), keepdim=True) for f in (torch.amin, torch.amax))
    return (maps - low) / (high - low)


def test_a_step_is_measured_against_its_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step, "TURNS", 2)
    monkeypatch.setattr(step, "BATCHES", ((2, 32),))
    monkeypatch.setattr(step, "NOT_COUNTED", 1)
    (table,) = step.tables()
    assert_measured(table, rows=[["2 x 3 x 32 x 32"]], numbers=slice(1, 3))


def test_the_bare_passes_of_a_step_leave_the_network_as_it_was() -> None:
    model = CamClassifier(num_classes=step.CLASSES, width=8)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    step._pass_all(model, step._batch(2, 32))
    assert all(torch.equal(v, before[n]) for n, v in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_ways_to_compute_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modes, "TURNS", 1)
    monkeypatch.setattr(modes, "BATCHES", ((2, 32),))
    monkeypatch.setattr(modes, "BACKBONES", ("small",))
    monkeypatch.setattr(modes, "_compile", lambda model, images: None)
    (table,) = modes.tables()
    ways = ("channels first, float32", "channels last, float32", "channels last, bf16")
    rows = [["small", "2 x 3 x 32 x 32", way] for way in ways]
    assert_measured(table, rows=rows, numbers=slice(3, 4))


def test_ways_to_compute_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modes, "_compile", lambda model, images: None)
    found = {name: act() for name, act in modes._ways("small", IMAGES).items()}
    plain = found.pop(modes.PLAIN)
    for name, logits in found.items():
        near = 1e-4 if "float32" in name else 0.05
        torch.testing.assert_close(logits.float(), plain, atol=near, rtol=near)


def test_pixel_correlation_is_compared_with_what_is_equal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pcm, "TURNS", 1)
    monkeypatch.setattr(pcm, "PLAIN_EDGES", (64, 128, 192))
    table = pcm._small()
    rows = [["64 x 64", "64"], ["128 x 128", "256"], ["192 x 192", "576"]]
    assert_measured(table, rows=rows, numbers=slice(2, 4))
    assert table.header[-2:] == ("growth", "largest difference")
    assert table.rows[0][-2] == "1.00"
    assert all(float(row[-1]) < 1e-5 for row in table.rows)


def test_pixel_correlation_grows_as_the_formula_says() -> None:
    def operations(count: int) -> int:
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad():
            spread(*pcm._inputs(count), max_tokens=128)
        return counter.get_total_flops()

    # Two for each product and sum, with the tokens and with the maps.
    channels = 2 * (pcm.DIM + pcm.CHANNELS)
    for count in (64, 128, 256, 512):
        assert operations(count) == channels * count**2


def test_pixel_correlation_stays_below_its_bound_of_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert pcm.most_bytes(256**2) < 2 * pcm.GIB
    monkeypatch.setattr(pcm, "LARGE_EDGE", 768)
    count = 96**2
    # The whole affinity would not fit.
    assert pcm.most_bytes(count) < 4 * count**2
    large = pcm.measure_large(threads=1)
    assert large.extra_bytes < pcm.most_bytes(count)
    assert large.difference < 1e-5
    assert large.seconds > 0


def test_the_shuffle_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("CellMix")
    monkeypatch.setattr(shuffle, "TURNS", {(8, 32): 1})
    monkeypatch.setattr(shuffle, "BATCHES", ((8, 32),))
    monkeypatch.setattr(shuffle, "PATCHES", {32: (16,)})
    (table,) = shuffle.tables()
    batch = "8 x 3 x 32 x 32"
    rows = [[batch, "2", "16"], [batch, "4", "16"], [batch, "whole batch", "16"]]
    assert_measured(table, rows=rows, numbers=slice(3, 5))


def test_the_shuffle_has_every_size_with_every_patch_that_divides_it() -> None:
    assert set(shuffle.BATCHES) == {(n, edge) for n in (16, 64) for edge in (224, 512)}
    for edge, patches in shuffle.PATCHES.items():
        assert min(patches) == 16
        assert not any(edge % patch for patch in patches)


@pytest.mark.parametrize("group_size", [2, 4, 8])
@pytest.mark.parametrize("patch", [8, 16])
def test_shuffles_that_are_compared_mix_in_the_same_way(
    group_size: int, patch: int
) -> None:
    pytest.importorskip("CellMix")
    images = torch.rand(8, 3, 32, 32)
    for way in shuffle.ways(images, group_size, patch).values():
        mixed, labels = way()
        sources = sources_of(mixed, images, patch)
        # Patches stay where they are in a tile, and in their group: all of them once.
        groups = sources.view(-1, group_size, sources.shape[1])
        first = torch.arange(0, 8, group_size).view(-1, 1, 1)
        expected = first + torch.arange(group_size).view(1, -1, 1)
        assert torch.equal(groups.sort(dim=1).values, expected.expand_as(groups))
        # Half of the positions take part.
        own = torch.arange(8)[:, None]
        assert ((sources == own).sum(dim=1) >= sources.shape[1] // 2).all()
        assert (sources != own).any()
        shares = F.one_hot(shuffle.classes_of(images)[sources], shuffle.CLASSES)
        torch.testing.assert_close(labels, shares.float().mean(dim=1))


def sources_of(mixed: Tensor, images: Tensor, patch: int) -> Tensor:
    """Return from which image each patch is, (B, patches)."""
    there, here = (
        F.unfold(tiles, patch, stride=patch).transpose(1, 2)
        for tiles in (images, mixed)
    )
    same = (here[:, None] == there[None]).all(dim=-1)
    assert (same.sum(dim=1) == 1).all()
    return same.int().argmax(dim=1)


def test_adding_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adding, "FILES", 3)
    monkeypatch.setattr(adding, "EDGE", 32)
    monkeypatch.setattr(adding, "TURNS", 1)
    (table,) = adding.tables()
    whats = [
        "`segmix add`, start to finish",
        "Add in the dock, the folder",
        "Add in the dock, file by file",
        "`add_paths` without a ready process",
    ]
    rows = [[kind, what] for kind in ("3 PNG", "3 TIF") for what in whats]
    assert_measured(table, rows=rows, numbers=slice(2, 4))


def test_the_store_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_latency, "TILES", 10_000)
    monkeypatch.setattr(store_latency, "COLUMNS", 100)
    monkeypatch.setattr(store_latency, "SQUARES", 500)
    (table,) = store_latency.tables()
    whats = [row[0] for row in table.rows]
    assert whats[0] == "add a slide"
    assert whats[-1].startswith("open, 500 squares, ")
    rows = {row[0]: [float(cell) for cell in row[1:]] for row in table.rows}
    assert rows[store_latency.PLAIN][-1] == 1
    assert all(0 <= middle <= high <= most for middle, high, most, _ in rows.values())


def test_limits_of_the_store_are_shares_of_the_slow_ones() -> None:
    strokes = ("a stroke", np.array([0.001] * 9 + [0.1] * 11))
    opened = ("open", np.array([0.5, 1.0]))
    plain = (store_latency.PLAIN, np.array([0.001]))
    table = store_latency.make_table([plain, strokes, opened], strokes, opened)
    assert "less than 50 ms (here 2.00 of that)" in table.text
    assert "less than 2 s (here 0.50 of that)" in table.text
    assert list(table.rows[1]) == ["a stroke", "100.00", "100.00", "100.00", "100.0"]


def assert_measured(
    table: Table, *, rows: Sequence[Sequence[str]], numbers: slice
) -> None:
    """Rows begin with these cells, and the numbers are times, maybe rounded to 0."""
    assert [list(row)[: len(rows[0])] for row in table.rows] == rows
    assert all(float(cell) >= 0 for row in table.rows for cell in row[numbers])
