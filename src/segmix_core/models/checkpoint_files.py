"""The files of a checkpoint: tensors, and the manifest that names them.

One process at a time writes them, the one that holds the lock of the run.
"""

import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as dump_tensors
from torch import Tensor

from segmix_core.disk_errors import reason_of
from segmix_core.errors import CheckpointError, SegmixError
from segmix_core.files import (
    JsonError,
    open_regular,
    parse_json,
    printable,
    read_json,
    remove_leftovers,
    write_atomically,
    write_json,
)
from segmix_core.stored_arrays import is_link

FORMAT_VERSION = 1
MANIFEST = "checkpoint.json"
NEW_TRAINING = "Choose another checkpoint, or train again."
"""What to do about a checkpoint that cannot be used."""
_MAX_HEADER_BYTES = 1 << 24

JsonScalar = bool | Annotated[int, Field(ge=-4096, le=4096)] | float | str | None
"""An argument of a network: larger numbers would only take all memory."""


class _File(BaseModel):
    """What the manifest says of a file of tensors."""

    name: Annotated[str, Field(pattern=r"^[a-z]+-[0-9a-f]{12}\.safetensors$")]
    bytes: Annotated[int, Field(ge=0, lt=2**40)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Manifest(BaseModel):
    """The content of the manifest; see :class:`segmix_core.models.checkpoint`."""

    version: Annotated[int, Field(strict=True, ge=1)]
    kind: str
    arguments: dict[str, JsonScalar]
    class_names: Annotated[list[str], Field(max_length=254)]
    step: Annotated[int, Field(ge=0, lt=2**53)]
    extra: dict[str, Any]
    files: dict[Literal["weights", "training"], _File]


def read_manifest(folder: Path) -> Manifest:
    """Return the content of the manifest in ``folder``.

    Raises
    ------
    CheckpointError
        If it is missing, broken or of a newer version.
    """
    if is_link(folder) or (folder / MANIFEST).is_symlink():
        raise broken(folder, "it is a symbolic link")
    try:
        # Scores and losses may be NaN.
        content = read_json(folder / MANIFEST, allow_nan=True)
    except FileNotFoundError:
        raise CheckpointError(
            f"There is no checkpoint in {printable(str(folder))}.",
            "Finish the training first, or choose another run.",
        ) from None
    except JsonError as error:
        raise broken(folder, f"{MANIFEST} cannot be read: {error}") from error
    except OSError as error:
        reason = reason_of(error)
        raise broken(folder, f"{MANIFEST} cannot be read ({reason})") from error
    version = content.get("version") if isinstance(content, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise CheckpointError(
            f"The checkpoint in {printable(str(folder))} was written by a newer "
            "napari-segmix.",
            "Update napari-segmix.",
        )
    try:
        return Manifest.model_validate(content)
    except ValidationError as error:
        place = ".".join(map(str, error.errors(include_url=False)[0]["loc"]))
        what = f"{MANIFEST} has no valid {printable(place) or 'content'}"
        raise broken(folder, what) from error


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


def read_tensors(folder: Path, entry: _File) -> dict[str, Tensor]:
    """Return the tensors of the file that an entry of the manifest names.

    Raises
    ------
    CheckpointError
        If the file has changed.
    FileNotFoundError
        If it is gone.
    """
    path = folder / entry.name
    try:
        if path.is_symlink():
            raise broken(folder, f"{entry.name} is a symbolic link")
        with open_regular(path) as file:
            data = file.read(entry.bytes + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        reason = reason_of(error)
        raise broken(folder, f"{entry.name} cannot be read ({reason})") from error
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise broken(folder, f"{entry.name} was changed or is truncated")
    return parse_tensors(data, lambda what: broken(folder, f"{entry.name} {what}"))


def parse_tensors(
    data: bytes, error: Callable[[str], SegmixError]
) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file.

    Raises
    ------
    SegmixError
        What ``error`` makes of a few words about what is wrong.
    """
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > min(len(data) - 8, _MAX_HEADER_BYTES):
        raise error("holds no tensors")
    try:
        parse_json(data[8 : 8 + size], max_bytes=_MAX_HEADER_BYTES)
        tensors: dict[str, Tensor] = load_tensors(data)
    # The last three are what types of tensors that torch does not have end in.
    except (JsonError, SafetensorError, ValueError, TypeError, KeyError) as failed:
        raise error("holds no tensors") from failed
    except RuntimeError as failed:
        raise error("holds tensors that do not fit into memory") from failed
    return tensors


def remove_unnamed(folder: Path) -> None:
    """Remove the files that the manifest in ``folder`` does not name.

    Those that it has replaced, and those of a save that failed.
    """
    if is_link(folder):
        return
    try:
        named = {entry.name for entry in read_manifest(folder).files.values()}
    except CheckpointError:
        if (folder / MANIFEST).exists():
            # Nobody knows what is still needed.
            return
        named = set()
    remove_leftovers(folder)
    for path in folder.glob("*.safetensors"):
        if path.name not in named:
            # On Windows a reader may hold the old file open; the next save tries
            # again.
            with suppress(OSError):
                path.unlink()


def broken(folder: Path, what: str) -> CheckpointError:
    """Return the error for a checkpoint of which something is broken."""
    return CheckpointError(
        f"The checkpoint in {printable(str(folder))} is damaged: {what}.", NEW_TRAINING
    )
