import sys
import time
from pathlib import Path

import pytest

from segmix_core.runs import RunFolder, RunRequest, launch

STAGES = Path(__file__).parent / "stages.py"


@pytest.fixture
def request_of(tmp_path):
    """Make a request for a project in the temporary folder."""

    def make(stage="train", **changes):
        return RunRequest(stage, tmp_path / "demo.segmix", **changes)

    return make


@pytest.fixture
def folder(tmp_path, request_of):
    return RunFolder.create(tmp_path / "demo.segmix" / "runs", request_of())


@pytest.fixture
def start(folder):
    """Launch one of the stages of ``stages.py`` in ``folder``."""

    def run(name):
        command = [sys.executable, str(STAGES), name, str(folder.path)]
        return launch(folder, command=command)

    return run


@pytest.fixture
def wait_until():
    def wait(condition, seconds=20):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "nothing happened"
            time.sleep(0.02)

    return wait
