"""A training pass of the classifier in the ways that PyTorch offers to compute it."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from benchmarks.speed.comparison import Table, in_turns, milliseconds, ratio
from segmix_core.models.cam_classifier import CamClassifier

CLASSES, TURNS = 4, 7
BATCHES = ((16, 64), (8, 224))
BACKBONES = ("small", "resnet18")
PLAIN = "channels first, float32"


def tables() -> list[Table]:
    """Return the table."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows = []
    for backbone in BACKBONES:
        for count, edge in BATCHES:
            ways = _ways(backbone, torch.rand(count, 3, edge, edge, device=device))
            seconds = in_turns(ways, TURNS)
            rows += [
                (
                    backbone,
                    f"{count} x 3 x {edge} x {edge}",
                    name,
                    milliseconds(taken),
                    ratio(seconds[PLAIN], taken, digits=2),
                )
                for name, taken in seconds.items()
            ]
    text = (
        "Forward and backward pass of the classifier from scratch, without PCM, on "
        f"{device.type}. All stages use channels last. They compute in bf16 if the "
        "hardware has instructions for it, else in float32; on a CPU, `segmix train` "
        "uses float32 unless `machine.precision` is bf16. Nothing is compiled: "
        "`torch.compile` needs a C++ compiler, which many desktops lack, and gains "
        "almost nothing over channels last."
    )
    header = ("backbone", "batch", "computed with", "ms", "times as fast")
    return [Table("Ways to compute", text, header, rows)]


def _ways(backbone: str, images: Tensor) -> Mapping[str, Callable[[], Tensor]]:
    last = images.to(memory_format=torch.channels_last)
    ways = {
        PLAIN: _pass(_make(backbone, images.device), images),
        "channels last, float32": _pass(_make_last(backbone, images.device), last),
        "channels last, bf16": _pass(
            _make_last(backbone, images.device), last, dtype=torch.bfloat16
        ),
    }
    compiled = _compile(_make_last(backbone, images.device), last)
    if compiled is not None:
        ways["channels last, float32, compiled"] = _pass(compiled, last)
    return ways


def _make(backbone: str, device: torch.device) -> nn.Module:
    torch.manual_seed(0)
    model = CamClassifier(num_classes=CLASSES, backbone=backbone, pcm=False)
    return model.to(device)


def _make_last(backbone: str, device: torch.device) -> nn.Module:
    return _make(backbone, device).to(memory_format=torch.channels_last)


def _compile(model: nn.Module, images: Tensor) -> nn.Module | None:
    """Compile a model and return it; None, said on the terminal, where it cannot be."""
    model.compile()
    try:
        model(images)
    except torch._dynamo.exc.BackendCompilerFailed as error:  # noqa: SLF001
        print(f"not compiled here: {str(error).splitlines()[0]}")
        return None
    return model


def _pass(
    model: nn.Module, images: Tensor, dtype: torch.dtype = torch.float32
) -> Callable[[], Tensor]:
    mixed = dtype != torch.float32

    def act() -> Tensor:
        with torch.autocast(images.device.type, dtype, enabled=mixed):
            logits: Tensor = model(images).logits
        logits.float().sum().backward()
        model.zero_grad(set_to_none=True)
        if images.device.type == "cuda":
            torch.cuda.synchronize()
        return logits.detach()

    return act
