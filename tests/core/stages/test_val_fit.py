import math

import numpy as np
import pytest

from segmix_core.events import SettingFitted, Warned
from segmix_core.geometry import Box
from segmix_core.runs.results import create_cams, load_tiles, open_mask, save_tiles
from segmix_core.settings import RunSettings
from segmix_core.stages.val_fit import SCORES

FIT = {"pseudo_masks.fit": True}
SCORE = FIT | {"pseudo_masks.background": "score"}


@pytest.fixture
def val(folder):
    """Twelve tiles of 64, 48 and 40 pixels: six of train, then six of val.

    The map of class 1 falls from left to right; class 2 has none. In val, class 1 is
    given at 0.8 where it is present and 0.6 where it is absent.
    """
    with folder.store() as store:
        images, tiles = store.images(), store.tiles()
        store.set_splits([image.id for image in images[6:]], ["val"] * 6)
    run = folder.folder("cams")
    cams = create_cams(run.path, 12, 2, (8, 8))
    values = np.zeros(cams.shape, np.uint8)
    values[:, 0] = np.linspace(255, 0, 8)
    cams[:] = values
    probabilities = np.where(tiles.labels == 1, 0.8, 0.6).astype(np.float32)
    # Were they asked, the tiles of train would say the contrary.
    probabilities[:6] = 1 - probabilities[:6]
    columns = {
        "tile_ids": tiles.ids,
        "probabilities": probabilities,
        "scales": np.ones((12, 2), np.float32),
        "valid": np.full((12, 2), 8),
        "stride": np.asarray(8),
        "shared_foreground": np.asarray(False),
        "class_names": np.array(["plain", "striped"]),
    }
    save_tiles(run.path, columns)
    return folder, run.path


def add_val_tiles(workshop, count):
    """Let tiles of train be val too, so that each class has enough tiles."""
    with workshop.store() as store:
        images = store.images()
        ids = [image.id for image in images[6 - count : 6]]
        store.set_splits(ids, ["val"] * count)


def draw(workshop, place, edge):
    """Say of the tile of an image: class 1 left of column ``edge``, background else."""
    with workshop.store() as store:
        image = store.images()[place]
        height, width = image.working_shape
        values = np.zeros((height, width), np.uint8)
        values[:, :edge] = 1
        store.set_labels(store.tiles().ids[[place]], np.array([[1, 0]], np.int8))
        store.correct_mask(image.id, Box(0, 0, height, width), values)


def results(run):
    return run.ended().results


def news(run, kind):
    return [event for event in run.events()[0] if isinstance(event, kind)]


def test_gates_are_those_of_val(val):
    folder, cams = val
    add_val_tiles(folder, 6)
    columns = load_tiles(cams)
    columns["probabilities"][:6] = columns["probabilities"][6:]
    save_tiles(cams, columns)
    run = folder.run("pseudo-masks", inputs={"cams": cams}, changes=FIT)
    gates = results(run)["gates"]
    assert set(gates) == {"plain", "striped"}
    for gate in gates.values():
        assert gate["gate"] == pytest.approx(0.7)
        assert (gate["f1"], gate["present"], gate["absent"]) == (1, 6, 6)
        assert len(gate["curve"]) == 19
    fitted = news(run, SettingFitted)
    assert [event.target for event in fitted] == ["plain", "striped"]
    assert fitted[0].message == (
        "pseudo_masks.gate of plain: 0.7, chosen on 12 tiles of val (F1 1.000)"
    )
    assert not news(run, Warned)


def test_a_gate_reaches_the_masks(val):
    folder, cams = val
    add_val_tiles(folder, 5)
    columns = load_tiles(cams)
    columns["probabilities"][1:6] = columns["probabilities"][7:]
    # A tile of train whose labels nobody gave: class 2 is at 0.65.
    columns["probabilities"][0] = 0.75, 0.65
    save_tiles(cams, columns)
    with folder.store() as store:
        store.set_labels(store.tiles().ids[[0]], np.array([[-1, -1]], np.int8))
    halves = np.zeros((12, 2, 8, 8), np.uint8)
    halves[:, 0, :, :4] = halves[:, 1, :, 4:] = 255
    create_cams(cams, 12, 2, (8, 8))[:] = halves
    for changes, values in (({}, {1, 2}), (FIT, {1})):
        plain = {"pseudo_masks.background": "none"} | changes
        run = folder.run("pseudo-masks", inputs={"cams": cams}, changes=plain)
        assert set(np.unique(open_mask(run.path, 1)[:])) <= values | {255}
        assert max(values) in open_mask(run.path, 1)[:]


def test_too_few_tiles_leave_the_gates_and_say_so(val):
    folder, cams = val
    changes = FIT | {"pseudo_masks.gate": 0.4}
    run = folder.run("pseudo-masks", inputs={"cams": cams}, changes=changes)
    (warning,) = news(run, Warned)
    assert warning.message.startswith("The gate of plain, striped stays 0.40: images")
    assert [gate["gate"] for gate in results(run)["gates"].values()] == [0.4, 0.4]
    assert "background_score" not in results(run)
    assert not news(run, SettingFitted)


def test_the_background_score_is_that_of_corrected_val_tiles(val):
    folder, cams = val
    # The map falls to 0.4 at about four tenths of the width of 64.
    draw(folder, 6, 39)
    run = folder.run("pseudo-masks", inputs={"cams": cams}, changes=SCORE)
    found = results(run)["background_score"]
    assert found["value"] == pytest.approx(0.4)
    assert found["mean_iou"] == max(iou for _, iou in found["curve"]) > 0.9
    assert [score for score, _ in found["curve"]] == list(SCORES)
    assert (found["tiles"], found["pixels"]) == (1, 64 * 64)
    (event,) = news(run, SettingFitted)
    assert (event.value, event.curve) == (found["value"], found["curve"])
    assert event.message.startswith("pseudo_masks.background_score: 0.4, chosen on 1 t")
    # The mask is the one that the score makes when it is set by hand.
    by_hand = {
        "pseudo_masks.background": "score",
        "pseudo_masks.background_score": found["value"],
    }
    other = folder.run("pseudo-masks", inputs={"cams": cams}, changes=by_hand)
    for image_id in (1, 7):
        np.testing.assert_array_equal(
            open_mask(run.path, image_id)[:], open_mask(other.path, image_id)[:]
        )
    assert "gates" not in results(other)


@pytest.mark.parametrize("split", ["train", "test"])
def test_corrections_of_other_splits_are_not_asked(val, split):
    folder, cams = val
    with folder.store() as store:
        store.set_splits([store.images()[0].id], [split])
    draw(folder, 0, 10)
    run = folder.run("pseudo-masks", inputs={"cams": cams}, changes=SCORE)
    found = results(run)["background_score"]
    assert (found["value"], found["tiles"], found["curve"]) == (0.3, 0, [])
    assert news(run, Warned)[-1].message.startswith("The background score stays 0.30")
    # Nor beside some of val.
    draw(folder, 6, 39)
    run = folder.run("pseudo-masks", inputs={"cams": cams}, changes=SCORE)
    assert results(run)["background_score"]["tiles"] == 1
    assert results(run)["background_score"]["value"] == pytest.approx(0.4)


def test_val_is_asked_also_for_masks_of_other_images(val):
    folder, cams = val
    draw(folder, 6, 39)
    run = folder.run(
        "pseudo-masks", inputs={"cams": cams}, changes=SCORE, options={"image_ids": [1]}
    )
    assert results(run)["tiles"] == 1
    assert results(run)["background_score"]["tiles"] == 1


def test_a_stop_ends_within_a_tile_of_val(val):
    folder, cams = val
    for place in (6, 8, 10):
        draw(folder, place, 20)
    writer = folder.stop("pseudo-masks", after=2, inputs={"cams": cams}, changes=SCORE)
    assert writer.stopped
    assert writer.asked == 2
    assert not (writer.folder.path / "masks.zarr").exists()


def test_the_setting_is_off():
    assert RunSettings().pseudo_masks.fit is False


def test_the_fit_reads_no_pixels(val):
    folder, run = val
    draw(folder, 6, 20)
    draw(folder, 8, 20)
    with folder.store() as store:
        images = store.images()
        images[8].path.unlink()
    masks = folder.run("pseudo-masks", inputs={"cams": run}, changes=SCORE)
    found = masks.ended().results
    assert found["unreadable"] == 0
    drawn = sum(math.prod(images[place].working_shape) for place in (6, 8))
    assert found["background_score"]["pixels"] == drawn
    assert found["background_score"]["tiles"] == 2
