"""Which stages show their networks images with normalized stains."""

import json

import numpy as np
import pytest
from PIL import Image

from segmix_core.api import kept_stains, project_training
from segmix_core.api.kept_stains import read_stains
from segmix_core.data.tile_reader import TileReader
from segmix_core.errors import JobError
from segmix_core.inference import evidence, teacher
from segmix_core.intake import add_paths
from segmix_core.methods import METHODS
from segmix_core.models.checkpoint import load_checkpoint
from segmix_core.project.import_draft import ImportContent
from segmix_core.runs import RunState
from segmix_core.runs.results import load_tiles, open_cams
from segmix_core.slides import group_stains
from segmix_core.slides.stain import Stain
from segmix_core.training.method_parts import parts_of

PLUS = {"train.method": "segmix-plus", "train.rounds": 0}
AS_THEY_ARE = PLUS | {"train.stain_normalization": False}


@pytest.fixture(autouse=True)
def _small_images_have_stains(monkeypatch):
    monkeypatch.setattr(group_stains, "_LEAST_PX", 100)
    monkeypatch.setattr(group_stains, "_ONE_IMAGE_PX", 100)


def _group(workshop):
    """Let all images be of one case."""
    with workshop.store() as store:
        groups = {image.id: "case" for image in store.images()}
        ids, states = np.zeros(0, np.int64), np.zeros((0, 2), np.int8)
        store.record_import(ImportContent("a case", ids, states, groups=groups))


def learned(workshop, changes):
    run = workshop.run("train", changes=changes)
    return run, load_checkpoint(run.checkpoints_path / "last")


@pytest.mark.parametrize("kind", ["slide", "folder"])
def test_networks_learn_from_other_colors(kind, request):
    workshop = request.getfixturevalue(kind)
    _, one = learned(workshop, PLUS)
    _, other = learned(workshop, AS_THEY_ARE)
    assert one.arguments["normalized_stain"]
    assert not other.arguments["normalized_stain"]
    weights = one.weights.items()
    assert any((value != other.weights[name]).any() for name, value in weights)


def test_published_methods_see_images_as_they_are():
    on = {name for name, make in METHODS.items() if parts_of(make()).normalized_stain}
    assert on == {"segmix-plus"}


def test_maps_are_of_what_the_network_has_learned_from(slide, monkeypatch):
    trained, _ = learned(slide, PLUS)
    normalized = open_cams(slide.run("cams", inputs={"train": trained.path}).path)[:]
    (trained.path / "stains.json").unlink()
    monkeypatch.setattr(group_stains, "_LEAST_PX", 10**9)
    raw = open_cams(slide.run("cams", inputs={"train": trained.path}).path)[:]
    assert (normalized != raw).any()


def test_later_images_and_groups_change_no_colors(folder, tmp_path):
    trained, _ = learned(folder, PLUS)
    before = folder.run("cams", inputs={"train": trained.path}).path
    _group(folder)
    Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(tmp_path / "new.png")
    with folder.store() as store:
        add_paths(store, [tmp_path / "new.png"])
    after = folder.run("cams", inputs={"train": trained.path}).path
    kept = np.isin(load_tiles(after)["tile_ids"], load_tiles(before)["tile_ids"])
    assert (~kept).sum() == 1
    np.testing.assert_array_equal(open_cams(after)[:][kept], open_cams(before)[:])


def test_stains_are_kept_with_the_run(folder):
    trained, _ = learned(folder, PLUS)
    found = read_stains(trained.path)
    with folder.store() as store:
        assert set(found.images) == {image.id for image in store.images()}
    assert len(set(found.images.values())) == len(found.images)
    assert all(isinstance(stain, Stain) for stain in found.images.values())
    assert read_stains(learned(folder, AS_THEY_ARE)[0].path) is None


def test_a_run_of_before_goes_on_by_its_rule(folder):
    trained, _ = learned(folder, PLUS)
    with folder.store() as store:
        edges = {source.id: source.plan.tile_px for source in store.sources()}
        assert edges
        assert kept_stains.tile_edges(trained.path, store) == edges
        assert kept_stains.tile_edges(trained.path / "not yet", store) == edges
        path = trained.path / "stains.json"
        content = json.loads(path.read_text(encoding="utf-8"))
        del content["slides_by_themselves"]
        path.write_text(json.dumps(content), encoding="utf-8")
        assert kept_stains.tile_edges(trained.path, store) == {}


def test_measuring_stains_stops_when_asked(folder, monkeypatch):
    monkeypatch.setattr(kept_stains, "_SECONDS", 0.0)
    writer = folder.stop("train", after=1, changes=PLUS)
    assert writer.stopped
    assert not (writer.folder.path / "stains.json").exists()
    assert writer.folder.state() is RunState.CANCELED


def test_maps_of_some_images_are_those_of_all(folder):
    _group(folder)
    trained, _ = learned(folder, PLUS)
    whole = folder.run("cams", inputs={"train": trained.path}).path
    options = {"image_ids": [2]}
    part = folder.run("cams", inputs={"train": trained.path}, options=options).path
    is_mine = np.isin(load_tiles(whole)["tile_ids"], load_tiles(part)["tile_ids"])
    assert is_mine.sum() == 1
    np.testing.assert_array_equal(open_cams(part)[:], open_cams(whole)[:][is_mine])


def test_glass_and_edges_are_looked_for_in_the_image_itself(slide, monkeypatch):
    seen = []
    make = evidence.make_pseudo_mask

    def watch(cam, shape, labels, sure, rgb, **options):
        seen.append(rgb)
        return make(cam, shape, labels, sure, rgb, **options)

    monkeypatch.setattr(evidence, "make_pseudo_mask", watch)
    slide.run("train", changes=PLUS | {"train.rounds": 1})
    with slide.store() as store:
        tiles, images = store.tiles(), store.images()
    with TileReader(images) as reader:
        for rgb, row in zip(
            seen, np.flatnonzero((tiles.labels >= 0).any(axis=1)), strict=True
        ):
            expected = reader.read_pixels(int(tiles.image_ids[row]), tiles.box(row))
            np.testing.assert_array_equal(rgb, expected)


def test_both_networks_see_normalized_tiles_and_nobody_else(folder, monkeypatch):
    _group(folder)
    readers = {"asked": set(), "learned": set()}
    predict, samples = project_training.predict_tile_cams, teacher.MaskedSamples

    def watch_asked(model, tiles, reader, *others, **options):
        readers["asked"].add(reader.stains is not None)
        return predict(model, tiles, reader, *others, **options)

    def watch_learned(tiles, *others, **options):
        readers["learned"].add(tiles._reader.stains is not None)
        return samples(tiles, *others, **options)

    monkeypatch.setattr(project_training, "predict_tile_cams", watch_asked)
    monkeypatch.setattr(teacher, "MaskedSamples", watch_learned)
    folder.run("train", changes=PLUS | {"train.rounds": 1})
    assert readers == {"asked": {True}, "learned": {True}}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "[" * 1000,
        '{"stains": [], "images": {}, "common": 0}',
        '{"stains": [null], "images": {"1": 1}, "common": 0}',
        '{"stains": [null], "images": {"x": 0}, "common": 0}',
        '{"stains": [{"mean": [1, 2], "deviation": []}], "images": {}, "common": 0}',
    ],
)
def test_damaged_stains_are_an_error(tmp_path, content):
    assert read_stains(tmp_path) is None
    (tmp_path / "stains.json").write_text(content)
    with pytest.raises(JobError, match=r"stains\.json is damaged"):
        read_stains(tmp_path)
