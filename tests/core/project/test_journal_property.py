"""Random edits, undos, redos and restarts against a list of all states."""

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
from segmix_core.project.records import NewImage, Review, SourceKind, TilingPlan
from segmix_core.project.store import ProjectStore

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


def _differs(one: Known, two: Known) -> bool:
    return (
        one.names != two.names
        or one.labels != two.labels
        or one.reviews != two.reviews
        or one.split != two.split
        or not np.array_equal(one.mask, two.mask)
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
            mpp=None,
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
        self.states, self.now, self.revision = [Known()], 0, 1

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    def edited(self, known: Known) -> None:
        if _differs(known, self.states[self.now]):
            self.states = [*self.states[: self.now + 1], known]
            self.now += 1
            self.revision += 1

    def copy(self) -> Known:
        return deepcopy(self.states[self.now])

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
        self.edited(known)

    @rule(tile=st.integers(0, TILES - 1), review=st.sampled_from(list(Review)))
    def review(self, tile: int, review: Review) -> None:
        known = self.copy()
        self.store.set_reviews(np.array([tile + 1]), review)
        known.reviews[tile] = review
        known.reviews = {key: v for key, v in known.reviews.items() if v}
        self.edited(known)

    @rule(split=st.sampled_from(["train", "val", "test"]))
    def split(self, split: str) -> None:
        known = self.copy()
        self.store.set_splits(np.array([1]), [split])
        known.split = split
        self.edited(known)

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
        self.edited(known)

    @rule()
    def rename(self) -> None:
        known = self.copy()
        known.names[0] = f"name {next(_numbers)}"
        self.store.rename_class(1, known.names[0])
        self.edited(known)

    @precondition(lambda self: len(self.states[self.now].names) < 6)
    @rule()
    def add(self) -> None:
        known = self.copy()
        known.names.append(f"new {next(_numbers)}")
        self.store.add_class(known.names[-1])
        self.edited(known)

    @rule()
    def undo(self) -> None:
        # Undoing the addition of the slide is left out: there is nothing to compare.
        if self.now:
            assert self.store.undo() is not None
            self.now -= 1
            self.revision += 1

    @rule()
    def redo(self) -> None:
        can = self.now + 1 < len(self.states)
        assert self.store.can_redo == can
        assert (self.store.redo() is not None) == can
        self.now += can
        self.revision += can

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.store = ProjectStore.open(self.path)

    @rule()
    def rebuild(self) -> None:
        self.store.rebuild_corrections()

    @invariant()
    def agrees(self) -> None:
        known, tiles = self.states[self.now], self.store.tiles()
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
