"""The input of every stage. Does not load torch, which some stages do not need."""

from dataclasses import dataclass
from pathlib import Path

from segmix_core.errors import JobError
from segmix_core.project.records import ImageRecord
from segmix_core.project.store import ProjectStore
from segmix_core.runs.request import RunRequest
from segmix_core.runs.writer import RunWriter
from segmix_core.settings import RunSettings


class Stopped(Exception):  # noqa: N818 - not an error
    """Raised to end a stage early because the user asked it to stop."""


@dataclass(frozen=True, slots=True)
class Job:
    """A running stage: its project, settings, request, and writer."""

    store: ProjectStore
    config: RunSettings
    request: RunRequest
    writer: RunWriter

    @property
    def run(self) -> Path:
        """The run's folder."""
        return self.writer.folder.path

    @property
    def class_names(self) -> list[str]:
        """Names of the classes 1..C."""
        return [tissue.name for tissue in self.store.classes()]

    def input_run(self, *stages: str) -> Path:
        """Return the folder of the input run, which is of one of ``stages``.

        Raises
        ------
        ValueError
            If the request has no such input.
        """
        for stage in stages:
            if stage in self.request.inputs:
                return self.request.inputs[stage]
        raise ValueError(f"The request names no run of {' or '.join(stages)}")

    def images(self) -> tuple[ImageRecord, ...]:
        """Return the requested images; by default all.

        Raises
        ------
        JobError
            If the list of images is invalid.
        """
        chosen = self.request.options.get("image_ids")
        if chosen is not None and not isinstance(chosen, list):
            raise JobError("The run has no valid list of images.", "Start a new run.")
        return tuple(
            image
            for image in self.store.images()
            if chosen is None or image.id in chosen
        )
