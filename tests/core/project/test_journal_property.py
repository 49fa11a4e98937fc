"""Random edits, undos, redos and restarts against a list of all states a scope."""

import itertools
import tempfile
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from segmix_core.geometry import Box
from segmix_core.project.records import (
    NewImage,
    Review,
    Scope,
    SourceKind,
    TilingPlan,
)
from segmix_core.project.store import ProjectStore
from segmix_core.project.verify import find_faults

TILES, EDGE = 6, 16
_numbers = itertools.count()


@dataclass
class Known:
    """All a user would remember."""

    names: list[str] = field(default_factory=lambda: ["a", "b"])
    labels: dict[tuple[int, int], int] = field(default_factory=dict)
    reviews: dict[int, int] = field(default_factory=dict)
    split: str = "train"
    mask: npt.NDArray[np.uint8] = field(
        default_factory=lambda: np.full((EDGE, EDGE * TILES), 254, np.uint8)
    )


LABELS, MASKS = ("names", "labels", "split"), ("reviews", "mask")
FIELDS = {"labels": LABELS, "masks": MASKS}


def _differs(one: Known, two: Known, scope: str) -> bool:
    return any(
        not np.array_equal(getattr(one, name), getattr(two, name))
        if name == "mask"
        else getattr(one, name) != getattr(two, name)
        for name in FIELDS[scope]
    )


class StoreMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "p"
        self.store = ProjectStore.create(self.path, ["a", "b"])
        cols = np.arange(TILES)
        image = NewImage(
            path=self.path / "s.tif",
            height=EDGE,
            width=EDGE * TILES,
            mpp_y=None,
            mpp_x=None,
            downsample=1.0,
            group="",
            boxes=np.column_stack(
                (cols * 0, cols * EDGE, cols * 0 + EDGE, cols * 0 + EDGE)
            ),
            rows=cols * 0,
            cols=cols,
        )
        plan = TilingPlan(EDGE, EDGE)
        self.store.add_source(SourceKind.SLIDE, image.path, "s", plan, [image])
        self.states = {scope: [Known()] for scope in FIELDS}
        self.now = dict.fromkeys(FIELDS, 0)
        self.revision = 1

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    def edited(self, known: Known, scope: str) -> None:
        states, now = self.states[scope], self.now[scope]
        if _differs(known, states[now], scope):
            self.states[scope] = [*states[: now + 1], known]
            self.now[scope] += 1
            self.revision += 1

    def copy(self) -> Known:
        """Return what is known now: each scope has its own present."""
        known = Known()
        for scope, names in FIELDS.items():
            present = self.states[scope][self.now[scope]]
            for name in names:
                setattr(known, name, deepcopy(getattr(present, name)))
        return known

    @rule(
        tiles=st.sets(st.integers(0, TILES - 1), min_size=1),
        state=st.integers(-1, 1),
        column=st.integers(0, 1),
    )
    def label(self, tiles: set[int], state: int, column: int) -> None:
        known, chosen = self.copy(), np.array(sorted(tiles))
        labels = self.store.tiles().labels[chosen]
        labels[:, column] = state
        self.store.set_labels(chosen + 1, labels)
        for tile in tiles:
            known.labels[tile, column] = state
        known.labels = {key: v for key, v in known.labels.items() if v != -1}
        self.edited(known, "labels")

    @rule(tile=st.integers(0, TILES - 1), review=st.sampled_from(list(Review)))
    def review(self, tile: int, review: Review) -> None:
        known = self.copy()
        self.store.set_reviews(np.array([tile + 1]), review)
        known.reviews[tile] = review
        known.reviews = {key: v for key, v in known.reviews.items() if v}
        self.edited(known, "masks")

    @rule(split=st.sampled_from(["train", "val", "test"]))
    def split(self, split: str) -> None:
        known = self.copy()
        self.store.set_splits(np.array([1]), [split])
        known.split = split
        self.edited(known, "labels")

    @rule(
        y=st.integers(0, EDGE - 1),
        x=st.integers(0, EDGE * TILES - 1),
        value=st.sampled_from([0, 1, 2, 254, 255]),
    )
    def paint(self, y: int, x: int, value: int) -> None:
        known = self.copy()
        box = Box(y, x, min(5, EDGE - y), min(9, EDGE * TILES - x))
        self.store.correct_mask(
            1, box, np.full((box.height, box.width), value, np.uint8)
        )
        known.mask[box.slices] = value
        self.edited(known, "masks")

    @rule()
    def rename(self) -> None:
        known = self.copy()
        known.names[0] = f"name {next(_numbers)}"
        self.store.rename_class(1, known.names[0])
        self.edited(known, "labels")

    @precondition(lambda self: len(self.copy().names) < 6)
    @rule()
    def add(self) -> None:
        known = self.copy()
        known.names.append(f"new {next(_numbers)}")
        self.store.add_class(known.names[-1])
        self.edited(known, "labels")

    @rule(scope=st.sampled_from(["labels", "masks"]))
    def undo(self, scope: Scope) -> None:
        # Undoing the addition of the slide is left out: there is nothing to compare.
        if self.now[scope]:
            assert self.store.undo(scope) is not None
            self.now[scope] -= 1
            self.revision += 1

    @rule(scope=st.sampled_from(["labels", "masks"]))
    def redo(self, scope: Scope) -> None:
        can = self.now[scope] + 1 < len(self.states[scope])
        assert self.store.can_redo(scope) == can
        assert (self.store.redo(scope) is not None) == can
        self.now[scope] += can
        self.revision += can

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.store = ProjectStore.open(self.path)

    @rule()
    def verify(self) -> None:
        assert find_faults(self.path) == ()

    @invariant()
    def agrees(self) -> None:
        known, tiles = self.copy(), self.store.tiles()
        assert [entry.name for entry in self.store.classes()] == known.names
        labels = np.full((TILES, len(known.names)), -1)
        for place, state in known.labels.items():
            labels[place] = state
        assert np.array_equal(tiles.labels, labels)
        reviews = [known.reviews.get(tile, 0) for tile in range(TILES)]
        assert tiles.reviews.tolist() == reviews
        assert self.store.image(1).split == known.split
        whole = Box(0, 0, EDGE, EDGE * TILES)
        assert np.array_equal(self.store.corrections(1, whole), known.mask)
        assert self.store.revision == self.revision


StoreMachine.TestCase.settings = settings(
    max_examples=16,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestStoreMachine = StoreMachine.TestCase
