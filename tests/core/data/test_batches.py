import threading
from collections.abc import Callable
from itertools import islice

import numpy as np
import pytest
import torch

from segmix_core.data import batches
from segmix_core.data.batch import Batch
from segmix_core.data.batches import BatchPlan, TileBatches
from segmix_core.data.samples import Sample, TileSamples
from segmix_core.data.symmetries import turn_array
from segmix_core.data.tile_reader import TileReader
from segmix_core.errors import JobError, SlideError
from segmix_core.events import Event, Warned
from segmix_core.project.records import ImageRecord, TileTable

AddImage = Callable[..., ImageRecord]
MakeTable = Callable[..., TileTable]


class Drawn:
    """A source whose tile in row r is filled with r; some rows are unreadable."""

    def __init__(
        self,
        tiles: TileTable,
        *,
        shape: tuple[int, int] = (8, 8),
        broken: tuple[int, ...] = (),
        with_masks: bool = False,
    ) -> None:
        self.ids, self.labels = tiles.ids, tiles.labels
        self.shape, self.broken, self.with_masks = shape, broken, with_masks

    def name(self, row: int) -> str:
        return f"file{row}.png"

    def read(self, row: int) -> Sample:
        if row in self.broken:
            raise SlideError(f"There is a broken file{row}.png.", "Repair it.")
        image = np.full((*self.shape, 3), row, np.uint8)
        if not self.with_masks:
            return Sample(image)
        ramp = np.arange(self.shape[0] * self.shape[1]).reshape(self.shape)
        image[..., 0] = ramp
        return Sample(
            image, ramp.astype(np.uint8), ramp.astype(np.float32), ramp % 3 == 0
        )


@pytest.fixture
def table(make_table: MakeTable) -> TileTable:
    return make_table([(1, 0, 0, 8, 8)] * 11)


def collect(source: Drawn, plan: BatchPlan, epoch: int = 0) -> list[Batch]:
    return list(TileBatches(source, plan, lambda event: None).batches(epoch))


def ids(batches: list[Batch]) -> list[int]:
    return [int(i) for batch in batches for i in batch.tile_ids]


def test_every_tile_comes_once_with_its_labels(table: TileTable) -> None:
    batches = collect(Drawn(table), BatchPlan(tile_px=8, batch_size=4))
    assert sorted(ids(batches)) == list(range(100, 111))
    # Eleven tiles in three batches: none of them is tiny.
    assert [len(batch) for batch in batches] == [3, 4, 4]
    for batch in batches:
        rows = batch.tile_ids - 100
        expected = rows.float().view(-1, 1, 1, 1) / 255
        torch.testing.assert_close(batch.images, expected.expand(-1, 3, 8, 8))
        assert np.array_equal(batch.labels.numpy(), table.labels[rows.numpy()])
        assert batch.labels.dtype == torch.float32
        assert batch.masks is None
        assert batch.images.is_contiguous(memory_format=torch.channels_last)


def test_order_depends_on_seed_and_epoch_only(table: TileTable) -> None:
    def order(seed: int, epoch: int) -> list[int]:
        plan = BatchPlan(tile_px=8, batch_size=4, seed=seed)
        return ids(collect(Drawn(table), plan, epoch))

    assert order(0, 0) == order(0, 0)
    assert len({tuple(order(s, e)) for s in (0, 1) for e in (0, 1)}) == 4


def test_in_order(table: TileTable) -> None:
    plan = BatchPlan(tile_px=8, batch_size=4, in_order=True)
    assert ids(collect(Drawn(table), plan)) == list(range(100, 111))


@pytest.mark.parametrize("first", [0, 1, 2])
def test_an_epoch_can_begin_in_the_middle(table: TileTable, first: int) -> None:
    plan = BatchPlan(tile_px=8, batch_size=4, augment=True)
    batches = TileBatches(Drawn(table), plan, lambda event: None)
    whole, rest = list(batches.batches(3)), list(batches.batches(3, first))
    assert len(rest) == 3 - first
    for ours, theirs in zip(rest, whole[first:], strict=True):
        assert torch.equal(ours.images, theirs.images)
        assert torch.equal(ours.tile_ids, theirs.tile_ids)


def test_no_such_batch(table: TileTable) -> None:
    batches = TileBatches(Drawn(table), BatchPlan(8, 4), lambda event: None)
    with pytest.raises(ValueError, match="below 3, got 3"):
        batches.batches(0, 3)


def test_small_tiles_are_padded_and_valid_says_so(table: TileTable) -> None:
    source = Drawn(table, shape=(5, 7), with_masks=True)
    for batch in collect(source, BatchPlan(tile_px=16, batch_size=4)):
        assert batch.images.shape[1:] == (3, 16, 16)
        assert (batch.valid == torch.tensor([5, 7])).all()
        assert batch.masks is not None
        assert batch.weights is not None
        assert batch.corrected is not None
        # What Drawn shows as red is the mask: it goes on as the pixels do.
        red = (batch.images[:, 0] * 255).round().long()
        assert torch.equal(batch.masks.long(), red)
        assert torch.equal(batch.weights.long(), red)
        assert torch.equal(batch.corrected, red % 3 == 0)
        assert (red[:, 5] == red[:, 3]).all()
        assert batch.masks.dtype == torch.uint8


def test_augmentation_turns_image_mask_and_weight_together(
    table: TileTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segmix_core.data.batches._COLOR_STRENGTH", 0.0)
    source = Drawn(table, shape=(5, 7), with_masks=True)
    batches = collect(source, BatchPlan(tile_px=16, batch_size=4, augment=True))
    sizes = set()
    for batch in batches:
        assert batch.masks is not None
        assert batch.weights is not None
        for number, valid in enumerate(batch.valid.tolist()):
            sizes.add(tuple(valid))
            window = (number, slice(0, valid[0]), slice(0, valid[1]))
            mask = batch.masks[window]
            assert set(mask.flatten().tolist()) == set(range(35))
            assert torch.equal(batch.weights[window], mask.float())
            assert torch.equal(batch.corrected[window], mask % 3 == 0)
            red = batch.images[:, 0][window] * 255
            torch.testing.assert_close(red, mask.float())
    assert sizes == {(5, 7), (7, 5)}


def test_augmentation_changes_from_epoch_to_epoch(table: TileTable) -> None:
    plan = BatchPlan(tile_px=8, batch_size=11, in_order=True, augment=True)
    one, again, other = (collect(Drawn(table), plan, epoch) for epoch in (0, 0, 1))
    assert torch.equal(one[0].images, again[0].images)
    assert not torch.equal(one[0].images, other[0].images)


def test_unreadable_tiles_are_replaced_and_named_once(table: TileTable) -> None:
    events: list[Event] = []
    threads = []

    def emit(event: Event) -> None:
        events.append(event)
        threads.append(threading.current_thread())

    source = Drawn(table, broken=(2, 7))
    batches = TileBatches(source, BatchPlan(tile_px=8, batch_size=4), emit)
    for epoch in range(2):
        found = ids(list(batches.batches(epoch)))
        assert len(found) == 11
        assert not {102, 107} & set(found)
    assert [type(event) for event in events] == [Warned, Warned]
    messages = " ".join(event.message for event in events if isinstance(event, Warned))
    assert "file2.png" in messages
    assert "Skipped tile file7.png" in messages
    assert set(threads) == {threading.main_thread()}


def test_too_many_unreadable_tiles_end_the_run(table: TileTable) -> None:
    source = Drawn(table, broken=tuple(range(6)))
    with pytest.raises(
        JobError,
        match=r"6 of 11 tiles cannot be read, .* a broken file\d\.png\. Check",
    ):
        collect(source, BatchPlan(tile_px=8, batch_size=4))


def test_nothing_readable_ends_the_run(make_table: MakeTable) -> None:
    source = Drawn(make_table([(1, 0, 0, 8, 8)] * 2), broken=(0, 1))
    with pytest.raises(JobError, match="2 of 2"):
        collect(source, BatchPlan(tile_px=8, batch_size=4))


def test_leaving_early_leaves_no_thread(table: TileTable) -> None:
    batches = TileBatches(Drawn(table), BatchPlan(8, 2), lambda event: None).batches(0)
    assert len(list(islice(batches, 2))) == 2
    batches.close()
    assert all(thread.name != "prefetch" for thread in threading.enumerate())


def test_processes_share_each_batch(table: TileTable) -> None:
    shares = [
        collect(
            Drawn(table), BatchPlan(tile_px=8, batch_size=4, rank=rank, processes=2)
        )
        for rank in (0, 1)
    ]
    assert [len(batch) for batch in shares[0]] == [2, 2, 2]
    assert [len(batch) for batch in shares[1]] == [2, 2, 2]
    assert set(ids(shares[0])) | set(ids(shares[1])) == set(range(100, 111))


def test_tiles_come_from_real_files(add_image: AddImage, make_table: MakeTable) -> None:
    tiles = make_table([(1, 0, 0, 32, 32), (2, 32, 64, 32, 32), (1, 32, 0, 32, 32)])
    with TileReader([add_image(1), add_image(2)]) as reader:
        batches = TileBatches(
            TileSamples(tiles, reader), BatchPlan(32, 2), lambda event: None
        )
        assert batches.steps_per_epoch == 2
        for batch in batches.batches(0):
            for image, tile in zip(batch.images, batch.tile_ids - 100, strict=True):
                row = int(tile)
                pixels = reader.read_pixels(int(tiles.image_ids[row]), tiles.box(row))
                expected = pixels.transpose(2, 0, 1).astype(np.float32) / 255
                assert np.array_equal(image.numpy(), expected)


def test_wrong_plans(make_table: MakeTable, table: TileTable) -> None:
    with pytest.raises(ValueError, match="sizes >= 1"):
        BatchPlan(tile_px=0, batch_size=1)
    with pytest.raises(ValueError, match="rank below 2, got 2"):
        BatchPlan(tile_px=8, batch_size=1, rank=2, processes=2)
    empty = table.take(np.zeros(0, np.int64))
    with pytest.raises(ValueError, match="got none"):
        TileBatches(Drawn(empty), BatchPlan(8, 1), lambda event: None)


def test_symmetries_are_quarter_turns_then_those_of_the_mirror_image():
    """As drawn for the scores in docs/results.md."""
    square = np.arange(9).reshape(3, 3)
    for drawn, code in enumerate(batches._SYMMETRIES):
        turned = np.rot90(square, drawn % 4)
        expected = turned[:, ::-1] if drawn >= 4 else turned
        assert np.array_equal(turn_array(square, int(code)), expected)
