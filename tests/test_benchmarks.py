"""The measurements run, on less than they measure."""

from collections.abc import Sequence

import pytest

from benchmarks import cams, modes, pcm, shuffle, step, store_latency
from benchmarks.comparison import Table


def test_cams_are_measured_from_files_to_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cams, "SIDE", 2)
    monkeypatch.setattr(cams, "TURNS", 1)
    monkeypatch.setattr(cams, "find_spec", lambda name: None)
    (table,) = cams.tables()
    measured = [row[0] for row in table.rows]
    assert measured[0] == "`segmix cams`, from 4 PNG files to the stored maps"
    assert measured[-1].startswith("forward pass")
    assert all(float(row[1]) > 0 for row in table.rows)


def test_a_step_is_measured_against_its_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step, "TURNS", 2)
    monkeypatch.setattr(step, "BATCHES", ((2, 32),))
    monkeypatch.setattr(step, "NOT_COUNTED", 1)
    (table,) = step.tables()
    assert_measured(table, rows=[["2 x 3 x 32 x 32"]], numbers=slice(1, 3))


def test_ways_to_compute_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modes, "TURNS", 1)
    monkeypatch.setattr(modes, "BATCHES", ((2, 32),))
    monkeypatch.setattr(modes, "BACKBONES", ("small",))
    monkeypatch.setattr(modes, "_compile", lambda model, images: None)
    (table,) = modes.tables()
    ways = ("channels first, float32", "channels last, float32", "channels last, bf16")
    rows = [["small", "2 x 3 x 32 x 32", way] for way in ways]
    assert_measured(table, rows=rows, numbers=slice(3, 4))


def test_pixel_correlation_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pcm, "TURNS", 1)
    monkeypatch.setattr(pcm, "PLAIN_EDGES", (64,))
    monkeypatch.setattr(pcm, "LARGE_EDGE", 128)
    assert_measured(pcm._small(), rows=[["64 x 64", "64"]], numbers=slice(2, 4))
    large = pcm.measure_large(threads=1)
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


def test_the_store_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(store_latency, "TILES", 10_000)
    monkeypatch.setattr(store_latency, "COLUMNS", 100)
    monkeypatch.setattr("sys.argv", ["store_latency.py"])
    store_latency.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("add a slide of 10000 tiles")
    assert all(" ms  p95 " in line for line in lines)


def assert_measured(
    table: Table, *, rows: Sequence[Sequence[str]], numbers: slice
) -> None:
    """Rows begin with these cells, and the numbers are times, maybe rounded to 0."""
    assert [list(row)[: len(rows[0])] for row in table.rows] == rows
    assert all(float(cell) >= 0 for row in table.rows for cell in row[numbers])
