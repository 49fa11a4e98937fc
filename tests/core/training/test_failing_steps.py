"""Steps that fail: undefined numbers, and lack of memory."""

from pathlib import Path

import pytest
import torch

from segmix_core.data.batch import Batch
from segmix_core.errors import JobError
from segmix_core.events import (
    Metrics,
    Warned,
)
from segmix_core.models.checkpoint import load_checkpoint
from segmix_core.training.stepper import is_out_of_memory
from segmix_core.training.task import StepContext, StepResult
from tests.core.training.brightness import BrightnessTask, Recorder, train


def test_undefined_loss_ends_the_run_and_names_step_and_tiles(tmp_path: Path) -> None:
    task = BrightnessTask()
    task.poisoned = 7
    with pytest.raises(JobError, match=r"step 7 on the tiles 20, 21, 22, 23\."):
        train(tmp_path, task, checkpoint_seconds=0)
    assert load_checkpoint(tmp_path / "checkpoints" / "last").step == 7
    assert torch.isfinite(task.module.layers[0].weight).all()


def test_undefined_gradient_ends_the_run(tmp_path: Path) -> None:
    task = BrightnessTask()

    def spoil(gradient: torch.Tensor) -> torch.Tensor:
        return gradient * torch.inf

    task.module.layers[3].weight.register_hook(spoil)
    with pytest.raises(JobError, match="a finite gradient"):
        train(tmp_path, task)


def test_lack_of_memory_halves_the_batch_and_keeps_the_step(tmp_path: Path) -> None:
    task, listener = BrightnessTask(most_tiles=2), Recorder()
    train(tmp_path, task, listener)
    assert set(task.sizes) == {2}
    assert task.steps == [step for step in range(15) for _ in range(2)]
    (warning,) = listener.of(Warned)
    assert "2 tiles at a time" in warning.message
    checkpoint = load_checkpoint(tmp_path / "checkpoints" / "last")
    assert checkpoint.extra["pieces"] == 2
    # What the task did in the attempt that failed has been taken back.
    plain = BrightnessTask(most_tiles=2)
    train(tmp_path / "again", plain)
    assert plain.mean_loss == task.mean_loss


def test_an_attempt_that_ran_out_of_memory_leaves_no_statistics(tmp_path: Path) -> None:
    class Late(BrightnessTask):
        def training_step(self, batch: Batch, context: StepContext) -> StepResult:
            if len(batch) > self.most_tiles:
                self.module(batch.images)
            return super().training_step(batch, context)

    early, late = BrightnessTask(most_tiles=2), Late(most_tiles=2)
    for name, task in (("early", early), ("late", late)):
        train(tmp_path / name, task, epochs=1)
    expected = early.module.state_dict()
    for name, tensor in late.module.state_dict().items():
        assert torch.equal(tensor, expected[name]), name


class Linear(BrightnessTask):
    """Without noise, drops and statistics, a step does not depend on pieces."""

    def training_step(self, batch: Batch, context: StepContext) -> StepResult:
        if len(batch) > self.most_tiles:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")
        self.sizes.append(len(batch))
        self.module.eval()
        loss = (self.module(batch.images) - batch.images.mean((1, 2, 3))).square()
        return StepResult(loss.mean(), {"square": loss.detach().mean()})


@pytest.mark.parametrize(("most", "smallest"), [(2, 1), (1, 1), (2, 2)])
def test_pieces_add_up_to_the_whole(tmp_path: Path, most: int, smallest: int) -> None:
    whole, pieces = Linear(), Linear(smallest, most)
    seen = Recorder(), Recorder()
    for task, listener in zip((whole, pieces), seen, strict=True):
        train(tmp_path / str(task.most_tiles), task, listener, epochs=1)
    assert set(pieces.sizes) == {most}
    ours, theirs = (m.of(Metrics)[-1].values["epoch_loss"] for m in seen)
    assert ours == pytest.approx(theirs, rel=1e-4)


@pytest.mark.parametrize(("smallest", "named"), [(1, 1), (2, 2)])
def test_lack_of_memory_for_the_smallest_batch(
    tmp_path: Path, smallest: int, named: int
) -> None:
    task = BrightnessTask(smallest, most_tiles=smallest - 1)
    with pytest.raises(JobError, match=rf"memory for {named} tiles of 8 x 8"):
        train(tmp_path, task)


def test_other_errors_are_not_taken_for_lack_of_memory(tmp_path: Path) -> None:
    class Wrong(BrightnessTask):
        def training_step(self, batch: Batch, context: StepContext) -> StepResult:
            raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        train(tmp_path, Wrong())
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("MPS backend out of memory"))
