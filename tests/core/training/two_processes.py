"""Train in one of several processes, as torchrun starts it, and write the weights."""

import sys
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from segmix_core.data.batch import Batch
from segmix_core.events import Event
from segmix_core.training.device import make_fabric
from segmix_core.training.fit_settings import FitSettings
from segmix_core.training.resume import CheckpointPlan
from segmix_core.training.task import PreviewArrays, StepContext, StepResult
from segmix_core.training.trainer import fit


class MeanTask:
    """Learn the mean of images; weights begin differently in each process."""

    min_batch = 1

    def __init__(self, rank: int) -> None:
        self.module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 1))
        nn.init.constant_(self.module[1].weight, float(rank))
        nn.init.zeros_(self.module[1].bias)

    def training_step(self, batch: Batch, context: StepContext) -> StepResult:
        error = self.module(batch.images)[:, 0] - batch.images.mean((1, 2, 3))
        return StepResult(error.square().mean())

    def amount(self, batch: Batch) -> float:
        return float(len(batch))

    def epoch_end(self, epoch: int, step: int) -> Mapping[str, PreviewArrays]:
        return {}

    def state(self) -> dict[str, Any]:
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        pass


class Share:
    steps_per_epoch = 3

    def __init__(self, rank: int, processes: int) -> None:
        self.rank, self.processes = rank, processes

    def batches(self, epoch: int, first: int = 0) -> Generator[Batch, None, None]:
        for number in range(first, self.steps_per_epoch):
            generator = torch.Generator().manual_seed(10 * epoch + number)
            images = torch.rand(4, 3, 4, 4, generator=generator)
            whole = Batch(
                images, torch.zeros(4, 1), torch.arange(4), torch.full((4, 2), 4)
            )
            each = 4 // self.processes
            yield whole.part(self.rank * each, (self.rank + 1) * each)


class OnlyFirstStops:
    """The user's wish reaches one process; all have to follow it."""

    def __init__(self, rank: int) -> None:
        self.rank, self.asked = rank, 0

    def emit(self, event: Event) -> None:
        pass

    def should_stop(self) -> bool:
        self.asked += 1
        return self.rank == 0 and self.asked == 4

    def save_preview(self, step: int, content: str, **arrays: object) -> None:
        pass


def main(folder: Path, processes: int) -> None:
    fabric = make_fabric(torch.device("cpu"), processes=processes)
    rank = fabric.global_rank
    task = MeanTask(rank if processes > 1 else 0)
    if processes == 1:
        # What two processes agree on: the mean of their beginnings.
        nn.init.constant_(task.module[1].weight, 0.5)
    result = fit(
        task,
        Share(rank, processes),
        FitSettings(epochs=3, learning_rate=0.01, average=False),
        fabric=fabric,
        listener=OnlyFirstStops(rank),
        checkpoints=CheckpointPlan(folder / "checkpoints", "test", {}, ()),
    )
    tensors = {**task.module.state_dict(), "step": torch.tensor(result.step)}
    save_file(tensors, folder / f"{processes}-{rank}.safetensors")
    if processes > 1:
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
