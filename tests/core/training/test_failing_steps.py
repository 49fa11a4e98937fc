"""Steps that fail: undefined numbers, and lack of memory."""

from collections.abc import Generator, Mapping
from dataclasses import replace
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
from segmix_core.training.divergence import DivergenceWatch
from segmix_core.training.task import PreviewArrays, StepContext, StepResult
from tests.core.training.brightness import BrightnessTask, Images, Recorder, train
from tests.core.training.textures import make_batch


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
    with pytest.raises(JobError, match="gradient became infinite"):
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


def test_an_exploding_loss_ends_the_run_and_names_the_tiles(tmp_path: Path) -> None:
    class Exploding(BrightnessTask):
        def training_step(self, batch: Batch, context: StepContext) -> StepResult:
            result = super().training_step(batch, context)
            return StepResult(result.loss * 10.0**context.step)

    class Named(Images):
        def batches(self, epoch: int, first: int = 0) -> Generator[Batch, None, None]:
            for batch in super().batches(epoch, first):
                yield replace(batch, names=[f"{int(i)}.png" for i in batch.tile_ids])

    expected = r"rose to .*e\+0\d at step (\d), .* on the tiles \d+\.png"
    with pytest.raises(JobError, match=expected) as caught:
        train(tmp_path, Exploding(), loader=Named(), checkpoint_seconds=0)
    assert "start a new run" in str(caught.value)
    step = load_checkpoint(tmp_path / "checkpoints" / "last").step
    assert f"at step {step}, " in str(caught.value)


def test_a_loss_that_rises_a_little_is_no_explosion() -> None:
    watch, batch = DivergenceWatch(), make_batch(2)
    for step, loss in enumerate([0.001, 0.5, 4.0, 90.0, 900.0, 0.5, 90.0]):
        watch.check(loss, 1.0, [(batch, loss)], step)


def test_a_run_that_goes_on_knows_where_it_began() -> None:
    watch, batch = DivergenceWatch(0.7), make_batch(2)
    for step, loss in enumerate([300.0, 400.0]):
        watch.check(loss, 1.0, [(batch, loss)], step)
    with pytest.raises(
        JobError, match=r"rose to 900 at step 2, from 0\.7 at the first"
    ):
        watch.check(900.0, 1.0, [(batch, 900.0)], 2)


def test_of_many_tiles_some_are_named() -> None:
    batch = make_batch(20)
    with pytest.raises(JobError, match=r"tiles 100, 101, .* 115, \.\.\.\. Lower"):
        DivergenceWatch().check(float("nan"), 1.0, [(batch, float("nan"))], 3)


def test_maps_without_memory_are_left_out(tmp_path: Path) -> None:
    class Large(BrightnessTask):
        def epoch_end(self, epoch: int, step: int) -> Mapping[str, PreviewArrays]:
            raise torch.OutOfMemoryError("out of memory")

    listener = Recorder()
    train(tmp_path, Large(), listener, epochs=1)
    (warning,) = listener.of(Warned)
    assert warning.message == "Memory ran out: there is no preview of step 5."
    assert load_checkpoint(tmp_path / "checkpoints" / "last").step == 5


def test_other_errors_of_maps_are_told(tmp_path: Path) -> None:
    class Wrong(BrightnessTask):
        def epoch_end(self, epoch: int, step: int) -> Mapping[str, PreviewArrays]:
            raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        train(tmp_path, Wrong(), epochs=1)
