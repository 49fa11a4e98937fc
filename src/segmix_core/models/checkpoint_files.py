"""The files of a checkpoint: tensors, and the manifest that names them.

One process at a time writes them, the one that holds the lock of the run.
"""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from safetensors.torch import load as load_tensors
from safetensors.torch import save as dump_tensors
from torch import Tensor

from segmix_core.errors import CheckpointError
from segmix_core.files import read_json, write_atomically, write_json

FORMAT_VERSION = 1
MANIFEST = "checkpoint.json"
NEW_TRAINING = "Choose another checkpoint, or train again."
"""What to do about a checkpoint that cannot be used."""


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the JSON content of the manifest in ``folder``.

    Raises
    ------
    CheckpointError
        If it is missing, broken or of a newer version.
    """
    try:
        content = read_json(folder / MANIFEST)
    except FileNotFoundError:
        raise CheckpointError.unexpected(
            f"a checkpoint in {folder}",
            "no such file" if folder.is_dir() else "no such folder",
            "Finish the training first, or choose another run.",
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise broken(folder, f"{MANIFEST} is not JSON") from error
    if not isinstance(content, dict) or not isinstance(content.get("version"), int):
        raise broken(folder, f"{MANIFEST} has no version")
    if content["version"] > FORMAT_VERSION:
        raise CheckpointError.unexpected(
            f"a checkpoint of version {FORMAT_VERSION} or older",
            f"version {content['version']} in {folder}",
            "It was written by a newer napari-segmix; update this one.",
        )
    return content


def write_manifest(folder: Path, content: Mapping[str, Any]) -> None:
    """Write the manifest, replacing the one in ``folder``."""
    write_json(folder / MANIFEST, dict(content))


def write_tensors(
    folder: Path, stem: str, tensors: Mapping[str, Tensor]
) -> dict[str, Any]:
    """Write tensors to a file called ``stem``; return what the manifest says of it."""
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


def read_tensors(folder: Path, entry: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the tensors of the file that an entry of the manifest names.

    Raises
    ------
    CheckpointError
        If the file has changed.
    FileNotFoundError
        If it is gone.
    """
    name = str(entry["name"])
    if Path(name).name != name:
        raise broken(folder, f"{name} is not a plain file name")
    data = (folder / name).read_bytes()
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise broken(folder, f"{name} has changed or is cut short")
    tensors: dict[str, Tensor] = load_tensors(data)
    return tensors


def remove_unnamed(folder: Path) -> None:
    """Remove the files that the manifest in ``folder`` does not name.

    Those that it has replaced, those of a save that failed, and the temporary ones of a
    process that was killed while it saved.
    """
    try:
        entries = read_json(folder / MANIFEST)["files"].values()
        named = {entry["name"] for entry in entries}
    except FileNotFoundError:
        named = set()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # Without a manifest that can be read, nobody knows what is still needed.
        return
    for path in [*folder.glob("*.safetensors"), *folder.glob(".*.tmp")]:
        if path.name not in named:
            # On Windows a reader may hold the old file open; the next save tries
            # again.
            with suppress(OSError):
                path.unlink()


def broken(folder: Path, what: str) -> CheckpointError:
    """Return the error for a checkpoint of which something is broken."""
    return CheckpointError.unexpected(
        f"a whole checkpoint in {folder}", what, NEW_TRAINING
    )
