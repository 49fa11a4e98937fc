"""The request of a run: the content of ``config.json`` in its folder."""

import os
import re
import time
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, ValidationError

from segmix_core.errors import JobError
from segmix_core.files import printable
from segmix_core.runs.status import Count, Moment

FORMAT_VERSION = 1
_STAGE = re.compile(r"[a-z][a-z0-9-]*")


def _can_be_opened(text: str) -> str:
    if "\0" in text:
        raise ValueError("a path has no zero bytes")
    return text


_PathText = Annotated[str, Field(max_length=32768), AfterValidator(_can_be_opened)]


class _StoredRequest(BaseModel):
    """The fields of ``config.json``."""

    version: Annotated[int, Field(strict=True, ge=1)]
    stage: Annotated[str, Field(pattern=rf"^{_STAGE.pattern}$", max_length=64)]
    project: _PathText
    config: dict[str, dict[str, Any]]
    inputs: dict[str, _PathText]
    options: dict[str, Any]
    revision: Count
    created: Moment


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A stage with everything it needs to run.

    Parameters
    ----------
    stage
        Name of the stage, such as "train"; lower case letters, digits and "-".
    project
        The project folder.
    config
        JSON content of :class:`segmix_core.settings.RunSettings`.
    inputs
        Run folders whose results this stage reads, by their stage: ``{"train": ...}``.
    options
        JSON values that say what to work on rather than how, such as
        ``{"image_ids": [3], "format": "ome"}``.
    revision
        The project's revision when the run was requested; lets
        :mod:`segmix_core.runs.outdated` find later changes.
    created
        Seconds since the epoch.
    version
        Version of the file format.

    Raises
    ------
    ValueError
        If the stage is not a valid name.
    """

    stage: str
    project: Path
    config: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, Path] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    revision: int = 0
    created: float = field(default_factory=time.time)
    version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        if not _STAGE.fullmatch(self.stage):
            raise ValueError(f"{self.stage!r} is not a stage name")


def to_json(request: RunRequest, folder: Path) -> dict[str, Any]:
    """Return the JSON content of a request that is stored in ``folder``.

    Paths inside the project are stored relative, so that a project can be moved with
    its runs.
    """
    project = request.project.absolute()
    inside = folder.absolute().is_relative_to(project)
    stored = os.path.relpath(project, folder.absolute()) if inside else str(project)
    return {
        "version": request.version,
        "stage": request.stage,
        "project": Path(stored).as_posix(),
        "config": request.config,
        "inputs": {
            name: _shorten(path.absolute(), project)
            for name, path in request.inputs.items()
        },
        "options": request.options,
        "revision": request.revision,
        "created": request.created,
        "software": _software(),
    }


def from_json(content: Any, folder: Path) -> RunRequest:
    """Rebuild the request that :func:`to_json` stored in ``folder``.

    Raises
    ------
    JobError
        If the content is not a request, or from a newer version of SegMix.
    """
    version = content.get("version") if isinstance(content, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise JobError(
            f"The run {printable(folder.name)} was made by a newer SegMix.",
            "Update SegMix, or start a new run.",
        )
    try:
        stored = _StoredRequest.model_validate(content)
    except ValidationError as error:
        raise damaged(folder, f"its config.json has {_first_fault(error)}") from error
    project = Path(os.path.normpath(folder.absolute() / stored.project))
    return RunRequest(
        stage=stored.stage,
        project=project,
        config=stored.config,
        inputs={name: project / path for name, path in stored.inputs.items()},
        options=stored.options,
        revision=stored.revision,
        created=stored.created,
        version=stored.version,
    )


def damaged(folder: Path, reason: str) -> JobError:
    """Return the error for a run folder that cannot be read, and why."""
    error = JobError(
        f"The run {printable(folder.name)} is damaged: {reason}.",
        "Choose another run, or restore this one from a backup.",
    )
    error.reason = reason
    return error


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_context=False)[0]
    place = printable(".".join(map(str, fault["loc"])))
    if not place:
        return "no valid settings"
    return (
        f"no {place}" if fault["type"] == "missing" else f"an invalid value of {place}"
    )


def _shorten(path: Path, project: Path) -> str:
    return (
        path.relative_to(project) if path.is_relative_to(project) else path
    ).as_posix()


def _software() -> dict[str, str]:
    # Kept for people who read an old run; nothing depends on it.
    found = {}
    for name in ("napari-segmix", "torch", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
