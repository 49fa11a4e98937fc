import numpy as np
import pytest
import timm
import torch
import zarr

from segmix_core.errors import CheckpointError
from segmix_core.events import Warned
from segmix_core.models.cam_classifier import CamClassifier
from segmix_core.models.precision import has_bf16
from segmix_core.runs.inputs import find_inputs
from segmix_core.runs.results import load_tiles, mask_ids, open_cams, open_mask
from segmix_core.stages.cams import quantize, without_padding


def only_run(workshop, stage):
    (path,) = (workshop.project / "runs").glob(f"*_{stage}")
    return path


def test_every_tile_has_maps_and_probabilities(finished_folder):
    run = only_run(finished_folder, "cams")
    cams, columns = open_cams(run), load_tiles(run)
    with finished_folder.store() as store:
        tiles = store.tiles()
    assert cams.shape == (12, 2, 8, 8)
    assert columns["tile_ids"].tolist() == tiles.ids.tolist()
    assert columns["probabilities"].shape == (12, 2)
    assert ((columns["probabilities"] >= 0) & (columns["probabilities"] <= 1)).all()
    assert columns["stride"] == 8
    assert columns["valid"].tolist() == [[8, 8], [6, 7], [5, 8]] * 4
    top = cams[:].max(axis=(2, 3))
    assert columns["scales"].shape == (12, 2)
    assert set(top[columns["scales"] > 0]) == {255}


def test_padding_has_no_map(finished_folder):
    run = only_run(finished_folder, "cams")
    cams, columns = open_cams(run)[:], load_tiles(run)
    for cam, (height, width) in zip(cams, columns["valid"], strict=True):
        assert not cam[:, height:].any()
        assert not cam[:, :, width:].any()


def test_unlabeled_tiles_have_maps_too(folder):
    with folder.store() as store:
        ids = store.tiles().ids
        store.set_labels(ids, np.full((len(ids), 2), -1, np.int8))
    assert len(load_tiles(folder.run("cams").path)["tile_ids"]) == 12


def test_tiles_that_do_not_fit_are_asked_in_halves(folder, monkeypatch):
    forward, sizes = CamClassifier.forward, []

    def small(model, images):
        sizes.append(len(images))
        if len(images) > 3:
            raise torch.OutOfMemoryError("out of memory")
        return forward(model, images)

    monkeypatch.setattr(CamClassifier, "forward", small)
    found = load_tiles(folder.run("cams", changes={"cams.batch_size": 8}).path)
    assert sizes[:4] == [6, 3, 3, 3]
    monkeypatch.undo()
    expected = load_tiles(folder.run("cams", changes={"cams.batch_size": 8}).path)
    np.testing.assert_array_equal(found["tile_ids"], expected["tile_ids"])
    np.testing.assert_allclose(
        found["probabilities"], expected["probabilities"], atol=1e-5
    )


def test_chosen_images_only(folder):
    run = folder.run("cams", options={"image_ids": [2, 5]})
    assert len(load_tiles(run.path)["tile_ids"]) == 2
    masks = folder.run("pseudo-masks", inputs={"cams": run.path})
    assert mask_ids(masks.path) == (2, 5)


def test_scales_flips_and_refinement_change_maps(folder):
    plain = open_cams(only_run(folder, "cams"))[:]
    for change in (
        {"cams.scales": [1.0, 1.5]},
        {"cams.flips": True},
        {"cams.refine": 0.0},
    ):
        run = folder.run("cams", changes=change)
        assert (open_cams(run.path)[:] != plain).any()


@pytest.mark.skipif(
    not has_bf16(torch.device("cpu")), reason="needs a processor with bf16"
)
def test_maps_are_made_in_bf16_where_there_is_no_reason_against(folder):
    exact = open_cams(only_run(folder, "cams"))[:].astype(int)
    run = folder.run("cams", changes={"machine.precision": "auto"})
    differences = np.abs(open_cams(run.path)[:] - exact)
    assert 0 < differences.mean() < 2


def test_maps_are_the_same_in_chunks_that_batches_do_not_fill(folder, monkeypatch):
    def in_fives(run, count, classes, shape):
        group = zarr.open_group(run / "cams.zarr", mode="a")
        chunks = (5, classes, *shape)
        return group.create_array(
            "cams", shape=(count, *chunks[1:]), chunks=chunks, dtype="uint8"
        )

    expected = open_cams(only_run(folder, "cams"))[:]
    monkeypatch.setattr("segmix_core.stages.cams.create_cams", in_fives)
    run = folder.run("cams", changes={"cams.batch_size": 3})
    found = open_cams(run.path)[:]
    # Rounding may differ with the size of the batch.
    assert abs(found.astype(int) - expected).max() <= 1


def test_a_stop_ends_within_a_step(slide):
    writer = slide.stop("cams")
    assert writer.stopped
    assert writer.asked == 1
    assert not (writer.folder.path / "tiles.npz").exists()
    # The next stage goes on reading the run that was completed.
    (found,) = find_inputs(slide.project / "runs", "pseudo-masks").values()
    assert found != writer.folder.path


def test_an_unreadable_tile_gets_no_other_tiles_map(folder):
    with folder.store() as store:
        image = store.images()[2]
        lost = store.tiles().ids[2]
    former = load_tiles(only_run(folder, "cams"))
    image.path.unlink()
    run = folder.run("cams")
    (warning,) = [e.message for e in run.events()[0] if isinstance(e, Warned)]
    assert image.path.name in warning
    columns = load_tiles(run.path)
    masks = folder.run("pseudo-masks")
    others = former["tile_ids"] != lost
    assert (
        columns["tile_ids"].tolist()
        == np.where(others, former["tile_ids"], -1).tolist()
    )
    np.testing.assert_allclose(
        columns["probabilities"][others], former["probabilities"][others], atol=1e-6
    )
    assert image.id not in mask_ids(masks.path)
    assert lost not in load_tiles(masks.path)["tile_ids"]


def test_a_renamed_class_keeps_its_weights(folder):
    with folder.store() as store:
        store.rename_class(1, "smooth")
    folder.run("cams")


def test_weights_for_fewer_classes_are_refused(folder):
    with folder.store() as store:
        store.add_class("third")
    with pytest.raises(CheckpointError, match=r"third is new.*[Tt]rain again"):
        folder.attempt("cams")


def test_a_backbone_of_stride_sixteen(folder, monkeypatch):
    create = timm.create_model

    def coarse(name, *, output_stride, **settings):
        if output_stride == 8:
            raise ValueError("no such stride")
        return create(name, output_stride=output_stride, **settings)

    monkeypatch.setattr(timm, "create_model", coarse)
    changes = {"train.backbone": "test_efficientnet", "train.epochs": 1}
    folder.run("train", changes=changes)
    run = folder.run("cams", changes=changes)
    assert load_tiles(run.path)["stride"] == 16
    assert open_cams(run.path).shape == (12, 2, 4, 4)
    masks = folder.run("pseudo-masks")
    mask = open_mask(masks.path, 2)
    assert mask.shape == (48, 56)
    assert (mask[:] != 255).any()


def test_padding_is_cut_off():
    cams = np.ones((2, 1, 3, 3), np.float32)
    found = without_padding(cams, np.array([[3, 1], [2, 3]]))
    assert found[0, 0].tolist() == [[1, 0, 0]] * 3
    assert found[1, 0].tolist() == [[1, 1, 1], [1, 1, 1], [0, 0, 0]]


def test_bytes_and_scales_give_the_map_back():
    cams = np.random.default_rng(0).random((3, 2, 4, 4), np.float32) * 7
    cams[1, 0] = 0
    # A weak class beside a strong one has no fewer levels.
    cams[2, 1] /= 1000
    shares, scales = quantize(cams)
    assert shares.dtype == np.uint8
    assert scales.shape == (3, 2)
    back = shares * (scales / 255)[:, :, None, None]
    error = abs(back - cams).max(axis=(2, 3))
    assert (error <= scales / 509).all()
    assert scales[1, 0] == 0
    # Which class is how much stronger is kept for scaling them together.
    np.testing.assert_allclose(back.max(axis=(2, 3)), cams.max(axis=(2, 3)), rtol=1e-6)


def test_tiles_of_a_slide_are_seen_with_what_is_around_them(slide):
    plain, seen = (
        slide.run("cams", changes={"cams.context_px": context}) for context in (0, 20)
    )
    assert open_cams(plain.path).shape == open_cams(seen.path).shape
    before, after = load_tiles(plain.path), load_tiles(seen.path)
    assert before["valid"].tolist() == after["valid"].tolist()
    assert (open_cams(plain.path)[:] != open_cams(seen.path)[:]).any()
    assert (before["probabilities"] != after["probabilities"]).any()


def test_tiles_that_are_whole_images_have_nothing_around_them(folder):
    plain, seen = (
        folder.run("cams", changes={"cams.context_px": context}) for context in (0, 32)
    )
    assert (open_cams(plain.path)[:] == open_cams(seen.path)[:]).all()
