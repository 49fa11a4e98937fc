import os
import subprocess
import sys

import psutil
import pytest

from segmix_core.cores import (
    count_usable_cores,
    default_threads,
    let_idle_threads_sleep,
)

LINUX = pytest.mark.skipif(
    sys.platform != "linux", reason="control groups and affinity are of Linux"
)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine of four physical cores with two logical processors each."""
    for number in range(8):
        topology = tmp_path / f"sys/devices/system/cpu/cpu{number}/topology"
        topology.mkdir(parents=True)
        text = f"{number % 4},{number % 4 + 4}\n"
        (topology / "thread_siblings_list").write_text(text)
    (tmp_path / "proc/self").mkdir(parents=True)

    def run_on(*processors):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(processors))
        return tmp_path

    return run_on


def put(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@LINUX
@pytest.mark.parametrize(
    ("processors", "cores"),
    [
        (range(8), 4),
        ((0, 4), 1),
        ((0, 1), 2),
        ((3,), 1),
        # Nothing is known of these two: each counts.
        ((0, 4, 20, 21), 3),
    ],
)
def test_cores_that_the_process_may_run_on_count_once(machine, processors, cores):
    assert count_usable_cores(machine(*processors)) == cores


@LINUX
@pytest.mark.parametrize(
    ("group", "files", "cores"),
    [
        ("0::/a/b", {"a/b/cpu.max": "max 100000\n"}, 4),
        ("0::/a/b", {"a/b/cpu.max": "250000 100000\n"}, 2),
        ("0::/a/b", {"a/b/cpu.max": "50000 100000\n"}, 1),
        # The limit of a group holds for all groups inside.
        ("0::/a/b", {"a/cpu.max": "300000 100000\n", "a/b/cpu.max": "max 100000"}, 3),
        # A container sees the mount alone, whatever its path is called outside.
        ("0::/docker/7f", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/../..", {"cpu.max": "200000 100000\n"}, 2),
        (
            "4:cpu,cpuacct:/job\n3:memory:/x",
            {
                "cpu/job/cpu.cfs_quota_us": "200000\n",
                "cpu/job/cpu.cfs_period_us": "100000\n",
            },
            2,
        ),
        (
            "4:cpu,cpuacct:/job",
            {
                "cpu/job/cpu.cfs_quota_us": "-1\n",
                "cpu/job/cpu.cfs_period_us": "100000\n",
            },
            4,
        ),
        ("0::/a", {"a/cpu.max": ""}, 4),
        ("0::/a", {"a/cpu.max": "100000 0"}, 4),
        ("nonsense", {}, 4),
    ],
)
def test_control_groups_limit_the_cores(machine, group, files, cores):
    root = put(machine(*range(8)), {"proc/self/cgroup": f"{group}\n"})
    put(root / "sys/fs/cgroup", files)
    assert count_usable_cores(root) == cores


def test_other_systems_count_physical_cores(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(psutil, "cpu_count", lambda logical: 6)
    assert count_usable_cores() == 6
    assert default_threads() == 5
    monkeypatch.setattr(psutil, "cpu_count", lambda logical: 1)
    assert default_threads() == 1


def test_a_policy_of_the_user_stays():
    environment = {"OMP_WAIT_POLICY": "active"}
    let_idle_threads_sleep(environment)
    assert environment == {"OMP_WAIT_POLICY": "active"}


_ASK = """
import os, sys
from pathlib import Path
import segmix_core.__main__ as program

def work(request, writer):
    assert "torch" not in sys.modules
    Path(sys.argv[2], "policy").write_text(os.environ["OMP_WAIT_POLICY"])
    return {}

program._run_stage = work
sys.exit(program.main(sys.argv[1:]))
"""


def test_a_run_started_by_hand_lets_idle_threads_sleep_before_torch(tmp_path):
    from segmix_core.runs import RunFolder, RunRequest

    folder = RunFolder.create(tmp_path, RunRequest("train", tmp_path / "a"))
    plain = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    done = subprocess.run(
        [sys.executable, "-c", _ASK, "train", str(folder.path)], env=plain, check=False
    )
    assert done.returncode == 0
    assert (folder.path / "policy").read_text() == "passive"
