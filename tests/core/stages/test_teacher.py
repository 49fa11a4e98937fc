"""What the network that was trained last makes of the training tiles."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from segmix_core.api import project_training
from segmix_core.data.batches import BatchPlan
from segmix_core.data.project_tiles import batch_edge, labeled_tiles, working_boxes
from segmix_core.data.samples import TileSamples
from segmix_core.data.tile_reader import TileReader, pad_tile
from segmix_core.errors import JobError
from segmix_core.events import Warned
from segmix_core.geometry import Box
from segmix_core.inference.cam_maps import cam_maps
from segmix_core.inference.pseudo_masks import make_pseudo_mask
from segmix_core.inference.pseudo_rules import PseudoMaskRules
from segmix_core.models.cam_classifier import CamClassifier
from segmix_core.models.checkpoint import load_checkpoint
from segmix_core.runs import RunState
from segmix_core.settings import RunSettings


class Quiet:
    def __init__(self, stops: bool = False) -> None:
        self.events, self._stops = [], stops

    def emit(self, event):
        self.events.append(event)

    def should_stop(self):
        return self._stops

    def save_preview(self, step, content, **arrays):
        raise AssertionError


def teach(workshop, listener, changes=None, lost=(), agree=bool):
    """Yield what is taught of tiles; those in the rows ``lost`` are in memory only."""
    changes = {"pseudo_masks.background": "none", **(changes or {})}
    settings = RunSettings().replace(
        {
            "cams.flips": False,
            "pseudo_masks.margin": 0.0,
            "pseudo_masks.min_object_px": 0,
            "machine.precision": "float32",
            **changes,
        }
    )
    fabric = SimpleNamespace(broadcast=agree, device=torch.device("cpu"))
    with workshop.store() as store:
        tiles, images = labeled_tiles(store), store.images()
        torch.manual_seed(0)
        model = CamClassifier(num_classes=2, width=8).eval()
        with TileReader(images) as reader, TileReader(images, cache_bytes=0) as raw:
            samples = TileSamples(tiles, reader)
            plan = BatchPlan(batch_edge(working_boxes(tiles, images)), 8)
            for row in lost:
                samples.read(row)
                images[row].path.unlink()
            make = project_training.project_teacher(
                store, settings, samples, reader, raw, plan, fabric
            )
            source = make(model, listener)
            if source is not None:
                yield from (
                    (row, tiles, source.labels[row], source.read(row))
                    for row in range(12)
                )


def test_masks_hold_only_what_a_tile_is_labeled_with(folder):
    with folder.store() as store:
        ids = store.tiles().ids
        store.set_labels(ids[:1], [[-1, 1]])
    for row, tiles, taught, sample in teach(folder, Quiet()):
        labels = tiles.labels[row]
        classes = set(np.unique(sample.mask)) - {255}
        absent = {column + 1 for column, label in enumerate(labels) if label == 0}
        assert not classes & absent
        if (labels == 1).sum() == 1 and (labels >= 0).all():
            assert classes == {1 + labels.argmax()}
        # Of a class that is unknown in the tile the mask tells nothing.
        assert (taught == (labels != -1)).all()


def test_corrections_overrule_the_teacher(folder):
    with folder.store() as store:
        tiles = store.tiles()
        image_id = int(tiles.image_ids[0])
        store.correct_mask(image_id, Box(0, 0, 8, 8), np.full((8, 8), 2, np.uint8))
    weights = set()
    for row, tiles, _, sample in teach(folder, Quiet()):
        if int(tiles.image_ids[row]) == image_id:
            assert (sample.mask[:8, :8] == 2).all()
            assert sample.corrected[:8, :8].all()
            weights = set(np.unique(sample.weight[:8, :8]))
    assert weights == {4.0}


def test_a_tile_that_is_lost_while_its_pixels_are_kept_tells_nothing(folder):
    listener = Quiet()
    with folder.store() as store:
        path = store.images()[3].path
        former = [sample.mask for *_, sample in teach(folder, Quiet())]
    for row, *_, sample in teach(folder, listener, lost=[3]):
        if row == 3:
            assert (sample.mask == 255).all()
            assert not sample.weight.any()
        else:
            np.testing.assert_array_equal(sample.mask, former[row])
    (warning,) = [e.message for e in listener.events if isinstance(e, Warned)]
    assert warning.startswith(f"Skipped tile {path.name}: ")
    assert str(path) in warning


def test_many_tiles_that_are_lost_end_the_training(folder):
    with pytest.raises(JobError, match=r"6 of 12 tiles cannot be read.*start again"):
        next(teach(folder, Quiet(), lost=range(6)))


def test_a_run_goes_on_without_a_file_that_is_lost_meanwhile(folder, monkeypatch):
    with folder.store() as store:
        path = store.images()[3].path
    predict = project_training.predict_tile_cams

    def predict_later(*arguments, **options):
        path.unlink()
        return predict(*arguments, **options)

    monkeypatch.setattr(project_training, "predict_tile_cams", predict_later)
    changes = {"train.method": "segmix-plus", "train.epochs": 3}
    run = folder.run("train", changes=changes)
    assert len([e for e in run.events()[0] if isinstance(e, Warned)]) == 1
    last = load_checkpoint(run.checkpoints_path / "last", kind="classifier")
    assert last.step == 6


def test_the_teacher_stops_when_asked(folder):
    assert list(teach(folder, Quiet(stops=True))) == []


def test_a_run_that_stops_while_masks_are_made_goes_on(folder):
    changes = {"train.method": "segmix-plus", "train.epochs": 3}
    whole = folder.run("train", changes=changes)
    # Asked inside both epochs, between them, and then by the teacher.
    writer = folder.stop("train", after=4, changes=changes)
    assert writer.folder.ended().results["steps"] == 4
    assert writer.folder.state() is RunState.CANCELED
    folder.resume(writer.folder)
    former, found = (
        load_checkpoint(run.checkpoints_path / "last").weights
        for run in (whole, writer.folder)
    )
    assert all(torch.equal(tensor, found[name]) for name, tensor in former.items())


def test_all_processes_stop_with_the_first(folder):
    # The first of several has not been asked yet, and will train with this one.
    taught = teach(folder, Quiet(stops=True), agree=lambda asked: False)
    assert len(list(taught)) == 12


def test_what_continues_a_small_tile_has_no_part_in_its_mask(folder):
    rules = {"background": "score", "background_score": 0.7, "margin": 0.0}
    changes = {f"pseudo_masks.{name}": value for name, value in rules.items()}
    taught = list(teach(folder, Quiet(), changes))
    torch.manual_seed(0)
    model = CamClassifier(num_classes=2, width=8).eval()
    differing = 0
    for row, tiles, _, sample in taught:
        height, width = shape = sample.image.shape[:2]
        whole = pad_tile(sample.image, 64)[None].copy()
        images = torch.from_numpy(whole).permute(0, 3, 1, 2).float() / 255
        cam = cam_maps(model, images, refine=0.25).cam[0].numpy()
        tile = cam[:, : -(-height // 8), : -(-width // 8)]
        mask, continued = (
            make_pseudo_mask(
                maps,
                shape,
                tiles.labels[row],
                np.zeros(2, np.float32),
                rules=PseudoMaskRules(**rules, min_object_px=0),
                stride=8,
            )[0]
            for maps in (tile, cam)
        )
        # Networks round otherwise in a batch.
        assert (sample.mask == mask).mean() > 0.99
        differing += (sample.mask == continued).mean() < 0.97
    assert differing > 0
