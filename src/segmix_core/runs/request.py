"""What a run was asked to do: the content of ``config.json`` in its folder."""

import os
import re
import time
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from segmix_core.errors import JobError

FORMAT_VERSION = 1
_STAGE = re.compile(r"[a-z][a-z0-9-]*")


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A stage and everything it needs to know.

    Parameters
    ----------
    stage
        Name of the stage, such as "train"; lower case letters, digits and "-".
    project
        The project folder.
    config
        JSON content of :class:`segmix_core.config.RunConfig`.
    inputs
        Run folders whose results this stage reads, by their stage: ``{"train": ...}``.
    options
        JSON values that say what to work on rather than how, such as
        ``{"image_ids": [3], "format": "ome"}``.
    revision
        The project's revision when the run was asked for;
        :mod:`segmix_core.runs.outdated` tells by it what has changed since.
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
            raise ValueError(f"Expected a stage name, got {self.stage!r}")


def to_json(request: RunRequest, folder: Path) -> dict[str, Any]:
    """Return the JSON content of a request that is stored in ``folder``.

    Paths are stored relative where they lie inside the project, so that a project can
    be moved together with its runs.
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


def from_json(content: dict[str, Any], folder: Path) -> RunRequest:
    """Rebuild the request that :func:`to_json` stored in ``folder``.

    Raises
    ------
    JobError
        If the content is no request, or of a newer version of SegMix.
    """
    try:
        if content["version"] > FORMAT_VERSION:
            raise JobError.unexpected(
                f"a run of format {FORMAT_VERSION} or older in {folder}",
                f"format {content['version']}",
                "Update SegMix, or start a new run.",
            )
        project = Path(os.path.normpath(folder.absolute() / content["project"]))
        return RunRequest(
            stage=content["stage"],
            project=project,
            config=dict(content["config"]),
            inputs={name: project / path for name, path in content["inputs"].items()},
            options=dict(content["options"]),
            revision=int(content["revision"]),
            created=float(content["created"]),
            version=content["version"],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise JobError.unexpected(
            f"the request of a run in {folder / 'config.json'}",
            f"a file without it ({type(error).__name__}: {error})",
            "Start a new run.",
        ) from error


def _shorten(path: Path, project: Path) -> str:
    return (
        path.relative_to(project) if path.is_relative_to(project) else path
    ).as_posix()


def _software() -> dict[str, str]:
    # Kept for the reader of an old run; nothing depends on it.
    found = {}
    for name in ("napari-segmix", "torch", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
