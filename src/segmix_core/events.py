"""What a run tells the world: one JSON object a line.

``events.jsonl`` is the only way news leaves a job process. Unknown events and unknown
fields are skipped when read, so an older program can follow a newer run.
"""

import json
import time
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar, Literal

EndReason = Literal["completed", "cancelled", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened at ``time`` (seconds since the epoch)."""

    kind: ClassVar[str] = "event"
    time: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageStarted(Event):
    """A stage began; ``resumed_at`` is the step it goes on from."""

    kind: ClassVar[str] = "started"
    stage: str
    total_steps: int
    device: str = ""
    resumed_at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(Event):
    """Step ``step`` of ``total`` is done; ``seconds_left`` is None until known."""

    kind: ClassVar[str] = "progress"
    step: int
    total: int
    seconds_left: float | None = None
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics(Event):
    """Named numbers at a step: losses, ``patch_size``, ``shuffle_ratio``, scores."""

    kind: ClassVar[str] = "metrics"
    step: int
    epoch: int
    values: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class CurriculumDecided(Event):
    """The feedback controller looked at the loss and decided."""

    kind: ClassVar[str] = "curriculum"
    step: int
    patch_size: int
    shuffle_ratio: float
    feedback: float | None
    threshold: float | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewWritten(Event):
    """A picture for the viewer lies at ``path``, relative to the run folder.

    ``content`` is "shuffled" or "cam"; the arrays are described in
    :mod:`segmix_core.runs.previews`.
    """

    kind: ClassVar[str] = "preview"
    step: int
    content: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointWritten(Event):
    """The run can go on from ``step``; ``path`` is relative to the run folder."""

    kind: ClassVar[str] = "checkpoint"
    step: int
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingFitted(Event):
    """A setting was chosen on images of the split val.

    ``setting`` is its dotted name and ``target`` the class it is for, empty if it is
    for all. ``score`` is what the chosen ``value`` has by ``measure`` on ``tiles``
    tiles; ``curve`` holds pairs of a value that was tried and its score.
    """

    kind: ClassVar[str] = "fitted"
    setting: str
    value: float
    measure: str
    score: float
    tiles: int
    target: str = ""
    curve: list[list[float]] = field(default_factory=list)

    @property
    def message(self) -> str:
        """The choice as a sentence."""
        target = f" of {self.target}" if self.target else ""
        return (
            f"{self.setting}{target}: {self.value:.3g}, chosen on {self.tiles} tiles "
            f"of val ({self.measure} {self.score:.3f})"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned(Event):
    """Something the user should know that did not stop the run."""

    kind: ClassVar[str] = "warning"
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StageEnded(Event):
    """The last event of every stage, however it ended.

    ``results`` are plain JSON values: scores and paths relative to the run folder.
    """

    kind: ClassVar[str] = "ended"
    reason: EndReason
    message: str = ""
    results: dict[str, Any] = field(default_factory=dict)


_KINDS: dict[str, type[Event]] = {
    cls.kind: cls
    for cls in (
        StageStarted,
        Progress,
        Metrics,
        CurriculumDecided,
        PreviewWritten,
        CheckpointWritten,
        SettingFitted,
        Warned,
        StageEnded,
    )
}


def to_line(event: Event) -> str:
    """Return the event as one line of JSON, without the line end."""
    return json.dumps({"event": event.kind, **asdict(event)}, ensure_ascii=False)


def from_line(line: str) -> Event | None:
    """Read an event; None for a kind this version does not know.

    Raises
    ------
    ValueError
        If the line is not JSON or lacks a field.
    """
    content = json.loads(line)
    cls = _KINDS.get(content.get("event", ""))
    if cls is None:
        return None
    known = {entry.name for entry in fields(cls)}
    try:
        return cls(**{name: v for name, v in content.items() if name in known})
    except TypeError as error:
        raise ValueError(f"Incomplete event {line!r}: {error}") from error
