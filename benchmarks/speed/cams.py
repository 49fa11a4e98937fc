"""CAMs of all classes of a folder, against grad-cam and the bare forward pass."""

import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks.speed.comparison import Seconds, Table, processor_times, ratio
from segmix_core.intake import add_paths
from segmix_core.models.cam_classifier import CamClassifier
from segmix_core.models.checkpoint import save_checkpoint
from segmix_core.models.precision import has_bf16
from segmix_core.pipeline import run_stage
from segmix_core.project.store import ProjectStore
from segmix_core.runs import RunFolder, RunRequest
from segmix_core.runs.writer import RunWriter
from segmix_core.sample.slide_file import make_sample
from segmix_core.settings import RunSettings

if TYPE_CHECKING:
    from collections.abc import Callable

CLASSES = ("epithelium", "stroma", "muscle", "fat")
EDGE, BATCH, TURNS = 224, 16, 5
SIDE = 18
"""Tiles an edge of the image that the folder is cut from."""
FEW = 16
"""Images for grad-cam, which takes many times as long for each."""


def tables() -> list[Table]:
    """Return the table; without grad-cam where it is not installed."""
    with tempfile.TemporaryDirectory() as name:
        seconds, processor, count = _measure(Path(name))
    names = {
        "stage": f"`segmix cams`, from {count} PNG files to the stored maps",
        "stage in bf16": "the same with `machine.precision` bf16, its default here",
        "bare": "forward pass in batches of tensors (its 1x1 head gives all maps)",
        "grad-cam": "`grad-cam`, the same tensors, one map per class",
    }
    rows = []
    for key, words in names.items():
        if key not in seconds:
            continue
        images = FEW if key == "grad-cam" else count
        shares = [
            ratio(times["bare"] / count, times[key] / images, digits=2)
            for times in (seconds, processor)
        ]
        rate = f"{images / float(np.median(seconds[key])):.1f}"
        rows.append((words, rate, *shares))
    text = (
        f"All {len(CLASSES)} classes, {EDGE} px, the same network (small backbone, "
        f"width 32), batches of {BATCH}, one scale, no flips, no refinement, in "
        "float32 unless noted. Target: "
        "at least 0.85 of the rate of the bare forward pass, and 8 times that of "
        "grad-cam. Decoding runs in a second thread; if no core is free for it, it "
        "slows down the passes. Processor time is the sum of both threads, which is "
        "what a single core would need."
    )
    if "grad-cam" in seconds:
        times = ratio(seconds["grad-cam"] / FEW, seconds["stage"] / count)
        text += f" Compared with grad-cam: {times} times as fast."
    header = ("what", "images/s", "share of the bare pass", "in processor time")
    return [Table("CAMs of a folder", text, header, rows)]


def _measure(folder: Path) -> tuple[dict[str, Seconds], dict[str, Seconds], int]:
    pixels = _write_images(folder / "tiles")
    images = torch.from_numpy(pixels.astype(np.float32) / 255).permute(0, 3, 1, 2)
    torch.manual_seed(0)
    model = CamClassifier(num_classes=len(CLASSES)).eval()
    trained = _make_project(folder, model)
    ways: dict[str, Callable[[], object]] = {
        "stage": lambda: _run_stage(folder, trained, "float32"),
        "bare": lambda: _forward(model, images),
    }
    if has_bf16(torch.device("cpu")):
        ways["stage in bf16"] = lambda: _run_stage(folder, trained, "bf16")
    if find_spec("pytorch_grad_cam") is None:
        print("CAMs are not compared: the package grad-cam is not installed.")
    else:
        ways["grad-cam"] = lambda: _grad_cam(model, images[:FEW])
    return *processor_times(ways, TURNS), len(images)


def _write_images(folder: Path) -> npt.NDArray[np.uint8]:
    folder.mkdir()
    image, _ = make_sample(EDGE * SIDE)
    image = image[: EDGE * SIDE, : EDGE * SIDE]
    tiles = image.reshape(SIDE, EDGE, SIDE, EDGE, 3).swapaxes(1, 2)
    tiles = tiles.reshape(-1, EDGE, EDGE, 3)
    for number, tile in enumerate(tiles):
        Image.fromarray(tile).save(folder / f"{number:03d}.png")
    return tiles


def _make_project(folder: Path, model: CamClassifier) -> Path:
    """Make a project of the tiles, and return a training run with the network."""
    with ProjectStore.create(folder / "bench.segmix", CLASSES) as store:
        add_paths(store, [folder / "tiles"])
    project = folder / "bench.segmix"
    request = RunRequest("train", project, RunSettings().model_dump(mode="json"), {})
    run = RunFolder.create(project / "runs", request)
    save_checkpoint(
        run.checkpoints_path / "last",
        module=model,
        arguments=model.arguments,
        kind="classifier",
        class_names=CLASSES,
        step=0,
    )
    return run.path


def _run_stage(folder: Path, trained: Path, precision: str) -> None:
    changes = {
        "cams.scales": [1.0],
        "cams.flips": False,
        "cams.refine": 0.0,
        "cams.batch_size": BATCH,
        "machine.device": "cpu",
        "machine.precision": precision,
        "machine.threads": torch.get_num_threads(),
    }
    project = folder / "bench.segmix"
    request = RunRequest(
        "cams",
        project,
        RunSettings().replace(changes).model_dump(mode="json"),
        {"train": trained},
    )
    with RunWriter(RunFolder.create(project / "runs", request)) as writer:
        results = run_stage(request, writer)
        writer.end("completed", "", results)


def _forward(model: nn.Module, images: Tensor) -> Tensor:
    """Return the maps (B, C, h, w)."""
    with torch.inference_mode():
        return torch.cat([model(batch).cam for batch in images.split(BATCH)])


def _grad_cam(model: CamClassifier, images: Tensor) -> npt.NDArray[np.float32]:
    """Return the maps (B, C, H, W), each scaled to 0..1."""
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    layers = [model.get_submodule("backbone.late")]
    targets = [ClassifierOutputTarget(index) for index in range(len(CLASSES))]
    with GradCAM(model=_Logits(model), target_layers=layers) as maps:
        batches = [
            [maps(batch, [target] * len(batch)) for target in targets]
            for batch in images.split(BATCH)
        ]
    return np.concatenate([np.stack(found, axis=1) for found in batches])


class _Logits(nn.Module):
    """The classifier as grad-cam wants it."""

    def __init__(self, model: CamClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(images).logits
        return logits
