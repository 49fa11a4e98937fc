"""Events of a run: one JSON object per line.

``events.jsonl`` is how a job process reports to others. Unknown events and fields are
skipped, so an older program can follow a newer run.
"""

import json
import time
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, TypeAdapter, ValidationError

from segmix_core.files import parse_json

EndReason = Literal["completed", "canceled", "failed"]
Count = Annotated[int, Field(ge=0, lt=2**53)]
Seconds = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened at ``time`` (seconds since the epoch)."""

    kind: ClassVar[str] = "event"
    time: Seconds = field(default_factory=time.time)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageStarted(Event):
    """A stage began; ``resumed_at`` is the step it resumes from."""

    kind: ClassVar[str] = "started"
    stage: str
    total_steps: Count
    device: str = ""
    resumed_at: Count = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(Event):
    """Step ``step`` of ``total`` is done; ``seconds_left`` is None until known."""

    kind: ClassVar[str] = "progress"
    step: Count
    total: Count
    seconds_left: Seconds | None = None
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics(Event):
    """Named numbers at a step: losses, ``patch_size``, ``shuffle_ratio``, scores."""

    kind: ClassVar[str] = "metrics"
    step: Count
    epoch: Count
    values: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class CurriculumDecided(Event):
    """The feedback controller made a decision based on the loss."""

    kind: ClassVar[str] = "curriculum"
    step: Count
    patch_size: Count
    shuffle_ratio: float
    feedback: float | None
    threshold: float | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewWritten(Event):
    """A preview for the viewer was written to ``path``, relative to the run folder.

    ``content`` is "shuffled" or "cam"; the arrays are described in
    :mod:`segmix_core.runs.previews`.
    """

    kind: ClassVar[str] = "preview"
    step: Count
    content: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointWritten(Event):
    """The run can resume from ``step``; ``path`` is relative to the run folder."""

    kind: ClassVar[str] = "checkpoint"
    step: Count
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingFitted(Event):
    """A setting was chosen on images of the split val.

    ``setting`` is its dotted name and ``target`` its class, "" if it is for all.
    ``score`` is the result of the chosen ``value`` by ``measure`` on ``tiles`` tiles;
    ``curve`` contains pairs of a tried value and its score.
    """

    kind: ClassVar[str] = "fitted"
    setting: str
    value: float
    measure: str
    score: float
    tiles: Count
    target: str = ""
    curve: list[Annotated[list[float], Field(min_length=2, max_length=2)]] = field(
        default_factory=list
    )

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
    """A warning for the user; the run continues."""

    kind: ClassVar[str] = "warning"
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StageEnded(Event):
    """The last event of every stage, whether it succeeded or not.

    ``results`` are plain JSON values: scores and paths relative to the run folder.
    """

    kind: ClassVar[str] = "ended"
    reason: EndReason
    message: str = ""
    results: dict[str, Any] = field(default_factory=dict)

    @property
    def hint(self) -> str:
        """What the user can do about a failure; empty if there is nothing."""
        return str(self.results.get("hint", ""))

    @property
    def text(self) -> str:
        """The message and the hint."""
        return f"{self.message} {self.hint}".strip()


_KINDS: dict[str, TypeAdapter[Any]] = {
    cls.kind: TypeAdapter(cls)
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


def from_line(line: bytes) -> Event | None:
    """Read an event; None for a kind this version does not know.

    Raises
    ------
    ValueError
        If the line is not JSON, or a field is missing or invalid.
    """
    # Losses and scores may be NaN.
    content = parse_json(line, allow_nan=True)
    kind = content.get("event") if isinstance(content, dict) else None
    adapter = _KINDS.get(kind) if isinstance(kind, str) else None
    if adapter is None:
        return None
    try:
        event: Event = adapter.validate_python(content)
    except ValidationError as error:
        raise ValueError(f"No event of kind {kind}: {error}") from error
    return event
