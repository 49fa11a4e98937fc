"""Weights on disk: safetensors beside one JSON file that names them.

The JSON file is replaced last and by renaming, so a kill at any moment leaves the
former checkpoint or the new one, never a mixture. Nothing is unpickled.
"""

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load as load_tensors
from safetensors.torch import save as dump_tensors
from torch import Tensor, nn

from segmix_core.errors import CheckpointError
from segmix_core.files import read_json, write_atomically, write_json

FORMAT_VERSION = 1
MANIFEST = "checkpoint.json"
ORIGIN = "initial_weights"
"""What ``extra`` calls the place where the first weights came from."""
_NEW_TRAINING = "Choose another checkpoint, or train again."


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
                f"{name} of shape {wanted.get(name, 'none: there is no such tensor')}",
                f"{found.get(name, 'nothing')}",
                f"The weights belong to another network. {_NEW_TRAINING}",
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
    OSError
        From the file system; the former checkpoint is still whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = module.state_dict() if isinstance(module, nn.Module) else module
    token = uuid.uuid4().hex[:12]
    files = {"weights": _write_tensors(folder, f"weights-{token}", weights)}
    if training:
        files["training"] = _write_tensors(folder, f"training-{token}", training)
    content = {
        "version": FORMAT_VERSION,
        "kind": kind,
        "arguments": dict(arguments),
        "class_names": list(class_names),
        "step": step,
        "extra": dict(extra or {}),
        "files": files,
    }
    write_json(folder / MANIFEST, content)
    _remove_others(folder, {entry["name"] for entry in files.values()})


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
    content = _read_manifest(folder)
    _check_fit(content, kind, class_names)
    try:
        files = content["files"]
        weights = _read_tensors(folder, files["weights"])
        training = {}
        if with_training and "training" in files:
            training = _read_tensors(folder, files["training"])
        return Checkpoint(
            kind=content["kind"],
            arguments=content["arguments"],
            class_names=tuple(content["class_names"]),
            step=content["step"],
            extra=content["extra"],
            weights=weights,
            training=training,
        )
    except FileNotFoundError:
        # A writer may have replaced the files between our two reads.
        if _read_manifest(folder)["files"] == content["files"]:
            raise _broken(folder, "a file it names is missing") from None
        return load_checkpoint(
            folder, kind=kind, class_names=class_names, with_training=with_training
        )
    except (KeyError, TypeError) as error:
        raise _broken(folder, f"{MANIFEST} lacks {error}") from error


def read_origin(folder: Path) -> dict[str, Any]:
    """Return where the first weights of a checkpoint came from; no tensor is read.

    Raises
    ------
    CheckpointError
        If it is missing, broken or of a newer version.
    """
    try:
        return dict(_read_manifest(folder)["extra"].get(ORIGIN, {}))
    except (KeyError, TypeError, AttributeError) as error:
        raise _broken(folder, f"{MANIFEST} lacks {error}") from error


def has_checkpoint(folder: Path) -> bool:
    """Say whether ``folder`` holds a checkpoint; it may still be unreadable."""
    return (folder / MANIFEST).is_file()


def _read_manifest(folder: Path) -> dict[str, Any]:
    try:
        content = read_json(folder / MANIFEST)
    except FileNotFoundError:
        raise CheckpointError(
            f"a checkpoint in {folder}",
            "no such file" if folder.is_dir() else "no such folder",
            "Finish the training first, or choose another run.",
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise _broken(folder, f"{MANIFEST} is not JSON") from error
    if not isinstance(content, dict) or not isinstance(content.get("version"), int):
        raise _broken(folder, f"{MANIFEST} has no version")
    if content["version"] > FORMAT_VERSION:
        raise CheckpointError(
            f"a checkpoint of version {FORMAT_VERSION} or older",
            f"version {content['version']} in {folder}",
            "It was written by a newer napari-segmix; update this one.",
        )
    return content


def _check_fit(
    content: Mapping[str, Any], kind: str | None, class_names: Sequence[str] | None
) -> None:
    if kind is not None and content.get("kind") != kind:
        raise CheckpointError(
            f"the weights of a {kind}",
            f"those of a {content.get('kind')}",
            f"Choose a run that trained a {kind}.",
        )
    names = list(content.get("class_names", ()))
    if class_names is not None and names != list(class_names):
        raise CheckpointError(
            f"weights for the classes {', '.join(class_names)}",
            f"weights for {', '.join(names) or 'none'}",
            "The project's classes have changed since; train again.",
        )


def _write_tensors(
    folder: Path, stem: str, tensors: Mapping[str, Tensor]
) -> dict[str, Any]:
    # Copies are made contiguous one by one: safetensors refuses views and shared
    # memory, and channels_last weights are not contiguous.
    data = dump_tensors(
        {
            name: tensor.detach().to("cpu", copy=True).contiguous()
            for name, tensor in tensors.items()
        }
    )
    path = folder / f"{stem}.safetensors"
    write_atomically(path, lambda file: file.write(data))
    return {
        "name": path.name,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def _read_tensors(folder: Path, entry: Mapping[str, Any]) -> dict[str, Tensor]:
    name = str(entry["name"])
    if Path(name).name != name:
        raise _broken(folder, f"{name} is not a plain file name")
    data = (folder / name).read_bytes()
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise _broken(folder, f"{name} has changed or is cut short")
    tensors: dict[str, Tensor] = load_tensors(data)
    return tensors


def _remove_others(folder: Path, names: set[str]) -> None:
    for path in folder.glob("*.safetensors"):
        if path.name not in names:
            # On Windows a reader may hold the old file open; the next save tries
            # again.
            with suppress(OSError):
                path.unlink()


def _broken(folder: Path, what: str) -> CheckpointError:
    return CheckpointError(f"a whole checkpoint in {folder}", what, _NEW_TRAINING)
