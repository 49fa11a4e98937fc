import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from benchmarks.quality.folder import BenchmarkFolder
from benchmarks.quality.protocols import make_protocol
from benchmarks.quality.report import Conditions, Report
from benchmarks.quality.training import (
    plan_trainings,
    run_trainings,
    share_threads,
)
from benchmarks.quality.variants import Variant
from segmix_core.errors import JobError, ProjectError
from segmix_core.events import Progress, StageStarted
from segmix_core.settings import RunSettings

ROOT = Path(__file__).parents[3]

CONFIG = RunSettings().replace(
    {
        "train.epochs": 1,
        "train.batch_size": 6,
        "train.width": 8,
        "segmenter.epochs": 1,
        "cams.scales": [1.0],
        "cams.flips": False,
        "machine.device": "cpu",
        "machine.threads": 1,
    }
)
VARIANTS = [Variant("cam"), Variant("seam", {"train.er_weight": 0.1})]


class Listener:
    def __init__(self, events, act=lambda event: None):
        self.events = events
        self.act = act

    def emit(self, event):
        self.events.append(event)
        self.act(event)

    def should_stop(self):
        return False

    def save_preview(self, step, content, **arrays):
        pass


def plan(path, *, config=CONFIG, report=None, seeds=1, segmenter=False):
    folder = BenchmarkFolder(path)
    conditions = Conditions.of("p1", make_protocol("p1", folder), config)
    return plan_trainings(
        report or Report(conditions), folder, VARIANTS, seeds=seeds, segmenter=segmenter
    )


def children():
    return psutil.Process().children(recursive=True)


def is_training(process):
    return "spawn_main" in " ".join(process.cmdline())


def test_side_by_side_gives_what_one_after_the_other_gives(benchmark_path):
    trainings = plan(benchmark_path, segmenter=True)
    events = {training.title: [] for training in trainings}
    results = {
        processes: list(
            run_trainings(
                trainings, processes, lambda training: Listener(events[training.title])
            )
        )
        for processes in (1, 2)
    }
    # By name: the second process may be the first to end.
    one, two = (
        sorted(found, key=lambda result: (result.method, result.scored))
        for found in results.values()
    )
    assert len(one) == 4
    assert one == two
    for heard in events.values():
        started = [e.stage for e in heard if isinstance(e, StageStarted)]
        assert started == ["train", "train-segmenter"] * 2
        assert any(isinstance(event, Progress) for event in heard)
    assert not any(is_training(process) for process in children())


def test_only_what_is_missing_is_planned(benchmark_path):
    names = ["cam", VARIANTS[1].name]
    folder = BenchmarkFolder(benchmark_path)
    conditions = Conditions.of("p1", make_protocol("p1", folder), CONFIG)

    def planned(rows, **options):
        known = [
            {"method": name, "scored": scored, "seed": seed}
            for name, scored, seed in rows
        ]
        report = Report(conditions, names, known)
        return [
            (t.variant.name, t.config.train.seed, t.segmenter)
            for t in plan(benchmark_path, report=report, **options)
        ]

    assert planned([("cam", "maps", 0)], seeds=2) == [
        (names[1], 0, False),
        ("cam", 1, False),
        (names[1], 1, False),
    ]
    both = [("cam", "maps", 0), ("cam", "segmenter", 0), (names[1], "maps", 0)]
    assert planned(both) == []
    assert planned(both, segmenter=True) == [(names[1], 0, True)]
    seeds = [
        (t.config.train.seed, t.config.segmenter.seed)
        for t in plan(benchmark_path, seeds=2)
    ]
    assert seeds == [(0, 0), (0, 0), (1, 1), (1, 1)]


def test_an_error_in_a_process_is_told_and_ends_the_others(benchmark_path, tmp_path):
    path = tmp_path / "copy"
    shutil.copytree(benchmark_path, path)
    trainings = plan(path)
    for file in (path / "images").glob("train_*.png"):
        file.write_bytes(b"damaged")
    with pytest.raises(
        ProjectError, match=r"train_\d+\.png cannot be read as an image"
    ):
        list(run_trainings(trainings, 2, lambda training: Listener([])))
    assert not any(is_training(process) for process in children())


def test_a_process_that_dies_is_named(benchmark_path):
    def kill(event):
        for process in filter(is_training, children()):
            process.kill()

    trainings = plan(benchmark_path)[:1]
    with pytest.raises(JobError, match=r"Training cam, seed 0 crashed.*code -9"):
        list(run_trainings(trainings, 2, lambda training: Listener([], kill)))


def obey_interrupts():
    """Undo what a shell does to jobs in the background: it has them ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def long_benchmark(folder, file):
    """A benchmark in processes of its own, none of which outlives the block."""
    program = subprocess.Popen(
        [
            *(sys.executable, "-m", "benchmarks"),
            *("quality", folder, "--protocol", "p1", "--jobs", "2"),
            *("--methods", "cam,seam", "--epochs", "1000", "--device", "cpu"),
            *("--threads", "1", "--set", "train.width=8", "--json", file),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
        preexec_fn=obey_interrupts,
    )
    try:
        yield program
    finally:
        with suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
        program.communicate()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("name", ["SIGINT", "SIGKILL"])
def test_no_process_is_left_behind(benchmark_path, tmp_path, name):
    file = tmp_path / "results.json"
    with long_benchmark(benchmark_path, file) as program:
        leader = psutil.Process(program.pid)
        deadline = time.monotonic() + 120
        found = []
        while len(found) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
            # The second thread is there once a process looks after its parent.
            found = [
                p for p in leader.children() if is_training(p) and p.num_threads() > 1
            ]
        assert len(found) == 2
        # As a terminal does, Ctrl-C reaches all; other signals only the first.
        send = os.killpg if name == "SIGINT" else os.kill
        send(program.pid, getattr(signal, name))
        stdout, stderr = program.communicate(timeout=60)
        _, alive = psutil.wait_procs(found, timeout=20)
    assert not alive
    if name == "SIGINT":
        assert program.returncode == 3
        assert "p1, test images" in stdout
        assert "Traceback" not in stderr
        assert file.exists()


def test_threads_are_shared_unless_they_were_asked_for(monkeypatch):
    monkeypatch.setattr("benchmarks.quality.training.thread_count", lambda config: 7)
    free = RunSettings()
    assert share_threads(free, 1).machine.threads == 0
    assert share_threads(free, 2).machine.threads == 3
    assert share_threads(free, 20).machine.threads == 1
    assert share_threads(CONFIG, 2).machine.threads == 1
    assert share_threads(free.replace({"machine.threads": 5}), 2).machine.threads == 5
