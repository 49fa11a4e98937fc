"""One optimizer step: forward, backward, and handling of failures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from lightning_fabric import Fabric
from torch import Tensor

from segmix_core.data.batch import Batch
from segmix_core.data.randomness import Stream, derive_seed, seeded_generator
from segmix_core.errors import JobError
from segmix_core.events import Event, Warned
from segmix_core.models.memory import is_out_of_memory
from segmix_core.training.divergence import DivergenceWatch
from segmix_core.training.task import PreviewArrays, StepContext, StepResult, Task


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """The result of a step.

    Attributes
    ----------
    loss, grad_norm
        Of the whole batch over all processes; norm before clipping.
    parts
        See :class:`segmix_core.training.task.StepResult`.
    """

    loss: float
    grad_norm: float
    parts: Mapping[str, float | Tensor]
    events: tuple[Event, ...]
    previews: Mapping[str, PreviewArrays]


class Stepper:
    """Runs optimizer steps of a task.

    If memory runs out, the batch is halved and the gradients of the halves are summed.
    Parts of a batch, also over several processes, are weighted by
    :meth:`segmix_core.training.task.Task.amount`, so that the step is the same for
    losses that are means over that amount.

    Parameters
    ----------
    task, optimizer, fabric
        The task, its optimizer, and the device setup.
    seed
        Random seed; combined with the step number.
    clip_norm
        Maximum norm of the gradient.
    emit
        Gets warnings.
    pieces
        Initial number of pieces per batch.
    first_loss
        Loss of the first step, in a resumed run.
    """

    def __init__(
        self,
        task: Task,
        optimizer: torch.optim.Optimizer,
        fabric: Fabric,
        *,
        seed: int,
        clip_norm: float,
        emit: Callable[[Event], None],
        pieces: int = 1,
        first_loss: float | None = None,
    ) -> None:
        self._task = task
        self._optimizer = optimizer
        self._fabric = fabric
        self._seed = seed
        self._clip_norm = clip_norm
        self._emit = emit
        self._parameters = [p for p in task.module.parameters() if p.requires_grad]
        self._watch = DivergenceWatch(first_loss)
        self.pieces = pieces

    @property
    def first_loss(self) -> float | None:
        """Loss of the first step of the run; None before it."""
        return self._watch.first

    def context(
        self, step: int, total_steps: int, epoch: int, wants_preview: bool
    ) -> StepContext:
        """Return the context of a step, with its own random numbers."""
        generator = seeded_generator(
            self._seed, Stream.STEP, step, self._fabric.global_rank
        )
        return StepContext(step, total_steps, epoch, generator, wants_preview)

    def step(self, batch: Batch, context: StepContext) -> StepOutcome:
        """Do one optimizer step.

        Parameters
        ----------
        batch
            On the device.
        context
            From :meth:`context`.

        Raises
        ------
        JobError
            If the loss is not finite or explodes, or memory is too small for the
            smallest batch. The weights do not change then.
        """
        while True:
            before = self._task.state()
            # The forward pass updates batch statistics, and memory may run out later.
            buffers = [buffer.clone() for buffer in self._task.module.buffers()]
            try:
                return self._attempt(batch, context)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            # Outside the handler the tensors of the attempt are freed.
            self._task.load_state(before)
            for buffer, value in zip(self._task.module.buffers(), buffers, strict=True):
                buffer.copy_(value)
            self._cut_smaller(batch)

    def _attempt(self, batch: Batch, context: StepContext) -> StepOutcome:
        self._optimizer.zero_grad(set_to_none=True)
        # Layers such as dropout use the global generators.
        torch.manual_seed(
            derive_seed(
                self._seed, Stream.LAYERS, context.step, self._fabric.global_rank
            )
        )
        pieces = self._pieces(batch)
        shares = self._shares(pieces)
        results = []
        for number, piece in enumerate(pieces):
            part = self._context_of_piece(context, number)
            with self._fabric.autocast():
                result = self._task.training_step(piece, part)
            self._fabric.backward(result.loss * shares[number])
            results.append(replace(result, loss=result.loss.detach()))
        self._share_gradient()
        norm = torch.nn.utils.clip_grad_norm_(self._parameters, self._clip_norm)
        numbers = torch.stack([*(r.loss.float() for r in results), norm.float()])
        *losses, grad_norm = numbers.tolist()
        loss = self._sum(sum(v * w for v, w in zip(losses, shares, strict=True)))
        judged = list(zip(pieces, losses, strict=True))
        self._watch.check(loss, grad_norm, judged, context.step)
        self._optimizer.step()
        return StepOutcome(
            loss=loss,
            grad_norm=grad_norm,
            parts=_mean_parts(results, pieces),
            events=tuple(event for result in results for event in result.events),
            previews=results[0].previews,
        )

    def _pieces(self, batch: Batch) -> list[Batch]:
        smallest, count = self._task.min_batch, len(batch)
        pieces = max(1, min(self.pieces, count // smallest))
        cuts = [i * count // pieces // smallest * smallest for i in range(pieces)]
        return [
            batch.part(start, stop)
            for start, stop in zip(cuts, [*cuts[1:], count], strict=True)
        ]

    def _shares(self, pieces: list[Batch]) -> list[float]:
        """Return the weight of each piece; the sum over all processes is 1."""
        if len(pieces) == self._fabric.world_size == 1:
            return [1.0]
        amounts = [self._task.amount(piece) for piece in pieces]
        if self._sum(sum(amounts)) == 0:
            amounts = [float(len(piece)) for piece in pieces]
        total = self._sum(sum(amounts))
        return [amount / total for amount in amounts]

    def _sum(self, value: float) -> float:
        """Return the sum over all processes."""
        if self._fabric.world_size == 1:
            return value
        tensor = torch.tensor(value, device=self._fabric.device)
        return float(self._fabric.all_reduce(tensor, reduce_op="sum"))

    def _context_of_piece(self, context: StepContext, number: int) -> StepContext:
        if number == 0:
            # Seed again, because an earlier attempt may have used it.
            return self.context(
                context.step,
                context.total_steps,
                context.epoch,
                context.wants_preview,
            )
        rank = self._fabric.global_rank
        generator = seeded_generator(
            self._seed, Stream.STEP, context.step, rank, number
        )
        return replace(context, generator=generator, wants_preview=False)

    def _share_gradient(self) -> None:
        if self._fabric.world_size == 1:
            return
        for parameter in self._parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        total = self._fabric.all_reduce(flat, reduce_op="sum")
        start = 0
        for gradient in gradients:
            stop = start + gradient.numel()
            gradient.copy_(total[start:stop].view(gradient.shape))
            start = stop

    def _cut_smaller(self, batch: Batch) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        if self._fabric.device.type == "cuda":
            torch.cuda.empty_cache()
        used = len(self._pieces(batch))
        self.pieces = 2 * used
        if len(self._pieces(batch)) == used or self._fabric.world_size > 1:
            height, width = batch.images.shape[-2:]
            raise JobError(
                f"{self._fabric.device} has too little memory for "
                f"{-(-len(batch) // used)} tiles of {height} x {width} pixels.",
                "Use smaller tiles, a smaller network or a smaller batch. Or close "
                "other programs that use the device, or choose the device cpu.",
            )
        size = -(-len(batch) // len(self._pieces(batch)))
        self._emit(
            Warned(
                message=f"Memory ran out on {self._fabric.device}: batches of "
                f"{len(batch)} tiles are now computed {size} tiles at a time."
            )
        )


def _mean_parts(
    results: list[StepResult], pieces: list[Batch]
) -> dict[str, float | Tensor]:
    if len(results) == 1:
        return dict(results[0].parts)
    means: dict[str, float | Tensor] = {}
    count = sum(len(piece) for piece in pieces)
    for result, piece in zip(results, pieces, strict=True):
        share = len(piece) / count
        for name, value in result.parts.items():
            means[name] = means.get(name, 0.0) + share * value
    return means
