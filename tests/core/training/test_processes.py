import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

SCRIPT = Path(__file__).with_name("two_processes.py")


@pytest.mark.skipif(sys.platform == "win32", reason="torchrun needs gloo on a socket")
def test_two_processes_train_like_one(tmp_path: Path) -> None:
    starter = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [*starter, "--nproc_per_node=2", str(SCRIPT), str(tmp_path), "2"],
        check=False,
        capture_output=True,
        encoding="utf-8",
        timeout=200,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    runpy.run_path(str(SCRIPT))["main"](tmp_path, 1)
    first, second, alone = (
        load_file(tmp_path / f"{name}.safetensors") for name in ("2-0", "2-1", "1-0")
    )
    assert first["step"] == second["step"] == alone["step"] == 4
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name])
        torch.testing.assert_close(tensor, alone[name])
