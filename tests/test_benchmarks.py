"""The measurement of CAMs runs: it makes a project and a run by hand."""

import pytest

from benchmarks import cams


def test_cams_are_measured_from_files_to_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cams, "SIDE", 2)
    monkeypatch.setattr(cams, "TURNS", 1)
    monkeypatch.setattr(cams, "find_spec", lambda name: None)
    (table,) = cams.tables()
    measured = [row[0] for row in table.rows]
    assert measured[0] == "`segmix cams`, from 4 PNG files to the stored maps"
    assert measured[-1].startswith("forward pass")
    assert all(float(row[1]) > 0 for row in table.rows)
