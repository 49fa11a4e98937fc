"""Short forms of the trials in this folder; docs/reliability.md has the long ones."""

import os
import shutil
import sys
import time
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip(
        "needs Linux: forked processes, SIGKILL, mounts", allow_module_level=True
    )

from tests.reliability import fuzz, kill, power_cut, two_writers

pytestmark = pytest.mark.reliability
_FUZZ_SECONDS = 60
_can_mount = os.getuid() == 0 and Path("/dev/loop-control").exists()


@pytest.mark.parametrize(("kills", "seed"), [(16, 1), (16, 2)])
def test_killed_while_it_edits(tmp_path: Path, kills: int, seed: int) -> None:
    outcome = kill.run_trials(tmp_path, kills, seed)
    assert outcome.trials == kills
    assert outcome.acknowledged > kills
    assert outcome.is_clean, outcome.summary()


@pytest.mark.skipif(
    not (_can_mount and shutil.which("mkfs.xfs")),
    reason="needs root, loop devices and xfsprogs",
)
def test_power_cut_while_it_edits(tmp_path: Path) -> None:
    outcome = power_cut.run_trials(tmp_path, cuts=6, seed=1)
    assert outcome.trials == 6
    assert outcome.acknowledged > 6
    assert outcome.is_clean, outcome.summary()


@pytest.mark.parametrize(("edits", "commands"), [(60, 0), (30, 3)])
def test_processes_that_edit_one_project(
    tmp_path: Path, edits: int, commands: int
) -> None:
    verdict = two_writers.run_trial(tmp_path, edits, commands)
    assert verdict.edits > edits
    assert verdict.is_clean, verdict.summary()


@pytest.mark.timeout(300)
def test_damaged_files(tmp_path: Path) -> None:
    bench = fuzz.Bench.make(tmp_path / "bench")
    until = time.monotonic() + _FUZZ_SECONDS
    findings = fuzz.try_all(bench, fuzz.all_cases(), until, files=20_000)
    assert findings.files.total() > len(fuzz.KINDS)
    assert not findings.by_text, findings.summary()
