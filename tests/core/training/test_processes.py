import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from segmix_core.models.cam_classifier import CamClassifier
from segmix_core.training.batch_norm import SharedBatchNorm2d, share_batch_norm

HERE = Path(__file__).parent
NEEDS_TORCHRUN = pytest.mark.skipif(
    sys.platform == "win32", reason="torchrun needs gloo on a socket"
)


def start_two(script: Path, folder: Path) -> None:
    starter = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [*starter, "--nproc_per_node=2", str(script), str(folder), "2"],
        check=False,
        capture_output=True,
        encoding="utf-8",
        timeout=200,
        cwd=HERE.parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": "."},
    )
    assert done.returncode == 0, done.stderr


@NEEDS_TORCHRUN
def test_two_processes_train_like_one(tmp_path: Path) -> None:
    script = HERE / "two_processes.py"
    start_two(script, tmp_path)
    runpy.run_path(str(script))["main"](tmp_path, 1)
    first, second, alone = (
        load_file(tmp_path / f"{name}.safetensors") for name in ("2-0", "2-1", "1-0")
    )
    assert first["step"] == second["step"] == alone["step"] == 4
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name])
        torch.testing.assert_close(tensor, alone[name])


@NEEDS_TORCHRUN
def test_two_processes_have_the_gradient_of_the_joined_batch(tmp_path: Path) -> None:
    script = HERE / "two_gradients.py"
    start_two(script, tmp_path)
    runpy.run_path(str(script))["main"](tmp_path, 1)
    for method in ("cam", "puzzle-cam"):
        names = [f"{method}-{name}.safetensors" for name in ("2-0", "2-1", "1-0")]
        first, second, alone = (load_file(tmp_path / name) for name in names)
        assert first.keys() >= alone.keys()
        for name, tensor in first.items():
            assert torch.equal(tensor, second[name]), name
            # What a method does not use has no gradient alone, and one of 0 together.
            expected = alone.get(name, torch.zeros_like(tensor))
            torch.testing.assert_close(tensor, expected, rtol=1e-4, atol=1e-6)
    # Patches move within a process, so the batches differ; the feedback does not.
    feedback = [
        json.loads((tmp_path / f"segmix-2-{rank}.json").read_text()) for rank in (0, 1)
    ]
    assert feedback[0] == feedback[1]
    alone = json.loads((tmp_path / "segmix-1-0.json").read_text())
    assert feedback[0]["seen"] == alone["seen"]
    assert feedback[0]["pending"]["sums"][2] == alone["pending"]["sums"][2] == 8


@pytest.mark.parametrize("backbone", ["small", "resnet18", "efficientnet_b0"])
def test_shared_statistics_are_the_same_layers_elsewhere(backbone: str) -> None:
    torch.manual_seed(0)
    model = CamClassifier(num_classes=2, backbone=backbone).eval()
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        before, names = model(images).cam, list(model.state_dict())
        parameters = {id(parameter) for parameter in model.parameters()}
        share_batch_norm(model)
        share_batch_norm(model)
        after = model(images).cam
    assert torch.equal(before, after)
    assert list(model.state_dict()) == names
    assert {id(parameter) for parameter in model.parameters()} == parameters
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms
    assert all(isinstance(norm, SharedBatchNorm2d) for norm in norms)
