"""One step of a method in one of several processes, as torchrun starts it.

``two_gradients.py FOLDER PROCESSES``: writes gradients, statistics of the batch
normalization and the feedback of the curriculum.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from segmix_core.training.batch_norm import share_batch_norm
from segmix_core.training.classifier_task import ClassifierTask
from segmix_core.training.device import make_fabric
from segmix_core.training.losses import LossWeights
from segmix_core.training.stepper import Stepper
from tests.core.training.textures import make_batch, make_task

METHODS = {
    "cam": {},
    "puzzle-cam": {"weights": LossWeights(puzzle=0.5)},
    "segmix": {"strategy": "hold"},
}


def task_of(method: str) -> ClassifierTask:
    return make_task(augment=False, **METHODS[method])


def main(folder: Path, processes: int) -> None:
    fabric = make_fabric(torch.device("cpu"), processes=processes)
    rank = fabric.global_rank
    for method in METHODS:
        task = task_of(method)
        if processes > 1:
            share_batch_norm(task.module)
        task.module.train()
        batch = make_batch(8)
        if method != "puzzle-cam":
            # The second process knows less than the first. Puzzle-CAM compares maps
            # whatever is known, so that there tiles would have to weigh instead.
            batch.labels[5:, 0] = -1
        each = len(batch) // processes
        stepper = Stepper(
            task,
            torch.optim.SGD(task.module.parameters(), lr=0.0),
            fabric,
            seed=0,
            clip_norm=1e6,
            emit=lambda event: None,
        )
        context = stepper.context(30, 40, 3, wants_preview=False)
        outcome = stepper.step(batch.part(rank * each, (rank + 1) * each), context)
        found = {name: p.grad for name, p in task.module.named_parameters()}
        found |= dict(task.module.named_buffers())
        found["loss"] = torch.tensor(outcome.loss)
        stem = f"{method}-{processes}-{rank}"
        kept = {name: t.contiguous() for name, t in found.items() if t is not None}
        save_file(kept, folder / f"{stem}.safetensors")
        (folder / f"{stem}.json").write_text(json.dumps(task.state()))
    if processes > 1:
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
