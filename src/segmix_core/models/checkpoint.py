"""Weights on disk: safetensors beside one JSON file that names them.

The JSON file is replaced last and by renaming, so a kill at any moment leaves the
former checkpoint or the new one, never a mixture. Nothing is unpickled.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor, nn

from segmix_core.errors import CheckpointError, ConfigError
from segmix_core.files import printable
from segmix_core.models.checkpoint_files import (
    FORMAT_VERSION,
    MANIFEST,
    NEW_TRAINING,
    Manifest,
    broken,
    read_manifest,
    read_tensors,
    remove_unnamed,
    write_manifest,
    write_tensors,
)
from segmix_core.stored_arrays import is_link

Module = TypeVar("Module", bound=nn.Module)

ORIGIN = "initial_weights"
"""What ``extra`` calls the place where the first weights came from."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint folder holds.

    Attributes
    ----------
    kind
        "classifier" or "segmenter".
    arguments
        Keyword arguments that rebuild the module.
    class_names
        In the order of class indices 1..C.
    step
        Optimizer steps done.
    extra
        JSON the training loop needs to go on, scores.
    weights
        State of the module that predicts, on the CPU.
    training
        Further tensors needed to go on: optimizer moments, weights before averaging.
        Empty unless asked for.
    """

    kind: str
    arguments: dict[str, Any]
    class_names: tuple[str, ...]
    step: int
    extra: dict[str, Any]
    weights: dict[str, Tensor]
    training: dict[str, Tensor] = field(default_factory=dict)

    def load_into(self, module: nn.Module) -> None:
        """Give the weights to ``module``.

        Raises
        ------
        CheckpointError
            If names or shapes differ in the least.
        """
        load_weights(module, self.weights)


def load_weights(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Give ``weights`` to ``module``, all of them and nothing else.

    Raises
    ------
    CheckpointError
        Naming the first tensor that is missing, too many or of another shape.
    """
    wanted = {name: tuple(t.shape) for name, t in module.state_dict().items()}
    found = {name: tuple(t.shape) for name, t in weights.items()}
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise CheckpointError(
                f"The weights belong to another network: {printable(name)} is "
                f"{found.get(name, 'missing')} in the file and "
                f"{wanted.get(name, 'missing')} in the network.",
                NEW_TRAINING,
            )
    module.load_state_dict(weights, strict=True)


def save_checkpoint(
    folder: Path,
    *,
    module: nn.Module | Mapping[str, Tensor],
    arguments: Mapping[str, Any],
    kind: str,
    class_names: Sequence[str],
    step: int,
    extra: Mapping[str, Any] | None = None,
    training: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a checkpoint, replacing the one in ``folder``.

    Parameters
    ----------
    folder
        Made if it is not there.
    module
        The module that predicts, or its state.
    arguments, kind, class_names, step, extra
        See :class:`Checkpoint`.
    training
        Further tensors, see :attr:`Checkpoint.training`.

    Raises
    ------
    CheckpointError
        If ``folder`` is a link: it could lead to any folder of the user.
    OSError
        From the file system; the former checkpoint is still whole, and nothing of the
        new one is left.
    """
    if is_link(folder):
        raise broken(folder, "it is a symbolic link")
    weights = module.state_dict() if isinstance(module, nn.Module) else module
    states = {"weights": weights} | ({"training": training} if training else {})
    token = uuid.uuid4().hex[:12]
    folder.mkdir(parents=True, exist_ok=True)
    # What a killed save left is room for this one.
    remove_unnamed(folder)
    try:
        content = {
            "version": FORMAT_VERSION,
            "kind": kind,
            "arguments": dict(arguments),
            "class_names": list(class_names),
            "step": step,
            "extra": dict(extra or {}),
            "files": {
                name: write_tensors(folder, f"{name}-{token}", state)
                for name, state in states.items()
            },
        }
        write_manifest(folder, content)
    finally:
        # The former files, or after a failure the new ones.
        remove_unnamed(folder)


def copy_checkpoint(source: Path, target: Path, step: int) -> None:
    """Let ``target`` predict as ``source`` does, as of ``step``; it cannot go on.

    Raises
    ------
    CheckpointError
        If ``source`` is broken.
    OSError
        From the file system; the former checkpoint in ``target`` is still whole.
    """
    found = load_checkpoint(source)
    save_checkpoint(
        target,
        module=found.weights,
        arguments=found.arguments,
        kind=found.kind,
        class_names=found.class_names,
        step=step,
        extra=found.extra,
    )


def load_checkpoint(
    folder: Path,
    *,
    kind: str | None = None,
    class_names: Sequence[str] | None = None,
    with_training: bool = False,
) -> Checkpoint:
    """Read a checkpoint.

    Parameters
    ----------
    folder
        Where :func:`save_checkpoint` wrote.
    kind, class_names
        What it has to be; None accepts any.
    with_training
        Read what is needed to go on training, too.

    Raises
    ------
    CheckpointError
        If it is missing, broken, of a newer version, or not what was asked for.
    """
    content = read_manifest(folder)
    _check_fit(content, kind, class_names)
    files = content.files
    if "weights" not in files:
        raise broken(folder, f"{MANIFEST} has no weights")
    try:
        weights = read_tensors(folder, files["weights"])
        training = {}
        if with_training and "training" in files:
            training = read_tensors(folder, files["training"])
    except FileNotFoundError:
        # A writer may have replaced the files between our two reads.
        if read_manifest(folder).files == files:
            raise broken(folder, "a file it names is missing") from None
        return load_checkpoint(
            folder, kind=kind, class_names=class_names, with_training=with_training
        )
    return Checkpoint(
        kind=content.kind,
        arguments=dict(content.arguments),
        class_names=tuple(content.class_names),
        step=content.step,
        extra=content.extra,
        weights=weights,
        training=training,
    )


def read_origin(folder: Path) -> dict[str, Any]:
    """Return where the first weights of a checkpoint came from; no tensor is read.

    Raises
    ------
    CheckpointError
        If it is missing, broken or of a newer version.
    """
    origin = read_manifest(folder).extra.get(ORIGIN)
    if not isinstance(origin, dict):
        raise broken(folder, f"{MANIFEST} has an invalid {ORIGIN}")
    return origin


def has_checkpoint(folder: Path) -> bool:
    """Say whether ``folder`` holds a checkpoint; it may still be unreadable."""
    return (folder / MANIFEST).is_file()


def rebuild(
    make: Callable[..., Module], checkpoint: Checkpoint, **arguments: Any
) -> Module:
    """Return the module of a checkpoint with its weights, ready to predict.

    Parameters
    ----------
    make
        The class of the module.
    checkpoint
        Its weights, and arguments of ``make``.
    arguments
        Go before those of the checkpoint.

    Raises
    ------
    CheckpointError
        If there is no such module, or the weights do not fit.
    """
    try:
        module = make(**(checkpoint.arguments | arguments))
    # What a class says of arguments that somebody else has written.
    except (ConfigError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise CheckpointError(
            f"This version cannot build the {checkpoint.kind} of the checkpoint "
            f"({printable(str(error))}).",
            NEW_TRAINING,
        ) from error
    checkpoint.load_into(module)
    return module.eval()


def _check_fit(
    content: Manifest, kind: str | None, class_names: Sequence[str] | None
) -> None:
    if kind is not None and content.kind != kind:
        raise CheckpointError(
            f"These are the weights of a {printable(content.kind)}, not of a {kind}.",
            f"Choose a run that trained a {kind}.",
        )
    names = content.class_names
    if class_names is not None and names != list(class_names):
        raise CheckpointError(
            f"These are weights for the classes {printable(', '.join(names))}, not "
            f"for {', '.join(class_names)}.",
            "The project's classes have changed since then; train again.",
        )
