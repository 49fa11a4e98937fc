from dataclasses import replace

import numpy as np
import pytest
import tifffile

from segmix_core.errors import ProjectError, SegmixError, SlideError
from segmix_core.intake import add_paths
from segmix_core.project.records import SourceKind
from segmix_core.sample import write_sample_slide
from segmix_core.slides.first_look import FirstLook
from tests.core.intake.images import GLASS, PINK, save_image, save_slide


def test_a_slide_is_cut_where_it_has_tissue(tmp_path, store):
    path = save_slide(tmp_path / "slide [1].tif")
    report = add_paths(store, [path])
    (source,) = report.sources
    assert report.notes == ()
    assert (source.kind, source.name) == (SourceKind.SLIDE, "slide [1].tif")
    assert (source.plan.tile_px, source.plan.stride_px, source.plan.mpp) == (
        256,
        256,
        None,
    )
    tiles = store.tiles(source.id)
    assert sorted(set(tiles.cols.tolist())) == [0, 1, 2]
    assert len(tiles) == 4 * 3
    (image,) = store.images()
    assert (image.height, image.width, image.mpp) == (1024, 1536, 0.5)
    assert (image.downsample, image.group) == (1.0, "slide [1]")


def test_tile_stride_and_tissue_are_options(tmp_path, store):
    path = save_slide(tmp_path / "a.tif")
    report = add_paths(store, [path], tile_px=128, stride_px=64, min_tissue=0)
    tiles = store.tiles(report.sources[0].id)
    assert set(tiles.boxes[:, 2]) == {128}
    assert sorted(set(tiles.boxes[:, 0].tolist()))[:3] == [0, 64, 128]
    assert tiles.boxes[:, 1].max() > 1300


@pytest.mark.parametrize(
    ("slide_mpp", "wanted", "downsample", "plan_mpp"),
    [(0.25, None, 2.0, 0.5), (0.45, None, 1.0, None), (0.25, 1.0, 4.0, 1.0)],
)
def test_the_working_resolution(
    tmp_path, store, slide_mpp, wanted, downsample, plan_mpp
):
    path = save_slide(tmp_path / "a.tif", mpp=slide_mpp)
    report = add_paths(store, [path], mpp=wanted, tile_px=64)
    assert report.sources[0].plan.mpp == plan_mpp
    assert store.images()[0].downsample == downsample
    assert store.tiles().boxes[0, 2] == 64 * downsample


def test_finer_than_the_slide_is_said(tmp_path, store):
    report = add_paths(store, [save_slide(tmp_path / "a.tif")], mpp=0.25)
    assert store.images()[0].downsample == 1.0
    assert "coarser than the 0.25 µm" in report.notes[0]


def test_a_slide_without_pixel_size(tmp_path, store):
    path = save_slide(tmp_path / "a.tif", mpp=None)
    with pytest.raises(ProjectError, match=r"a\.tif cannot be resampled to 0\.5"):
        add_paths(store, [path], mpp=0.5)
    report = add_paths(store, [path])
    assert "does not state its pixel size" in report.notes[0]
    assert store.images()[0].mpp is None


def test_a_given_pixel_size_is_remembered(tmp_path, store):
    path = save_slide(tmp_path / "a.tif", mpp=None)
    report = add_paths(store, [path], mpp=0.5, slide_mpp=0.25)
    assert report.notes == ()
    assert (store.images()[0].mpp, store.images()[0].downsample) == (0.25, 2.0)


def test_a_slide_without_tissue_keeps_its_tiles(tmp_path, store):
    path = save_slide(tmp_path / "a.tif", fill=GLASS)
    report = add_paths(store, [path])
    assert len(store.tiles()) == 24
    assert "no tissue was found" in report.notes[0]


def test_much_that_looks_stained_but_is_left_out_is_said(tmp_path, store, monkeypatch):
    path = save_slide(tmp_path / "a.tif")
    find = FirstLook.tissue
    monkeypatch.setattr(
        FirstLook,
        "tissue",
        lambda look, *args: replace(find(look, *args), doubtful=0.31),
    )
    (note,) = add_paths(store, [path]).notes
    assert note.startswith("a.tif: 31% of its area looks stained but was taken for")


def test_too_many_tiles_are_refused(tmp_path, store):
    path = save_slide(tmp_path / "a.tif")
    with pytest.raises(SlideError, match="at most 500,000"):
        add_paths(store, [path], stride_px=1)


def test_a_stride_that_repeats_every_pixel_is_refused_with_the_number(tmp_path, store):
    path = save_slide(tmp_path / "a.tif")
    message = (
        r"would have about [0-9,]{5,} tiles, .* about 1,024 of them.*at least 32 p"
    )
    with pytest.raises(SlideError, match=message):
        add_paths(store, [path], stride_px=8)
    assert store.images() == ()
    add_paths(store, [path], stride_px=32)
    assert len(store.tiles()) > 24


def test_few_tiles_may_overlap_as_wanted(tmp_path, store):
    path = save_slide(tmp_path / "a.tif")
    add_paths(store, [path], tile_px=160, stride_px=18)
    assert len(store.tiles()) > 1000


def test_a_folder_is_one_source_in_natural_order(tmp_path, store):
    folder = tmp_path / "set" / "images"
    for name in ("t10.png", "t2.png", "t1.png", ".t3.png", "masks/t1.png", "x.txt"):
        if name.endswith("png"):
            save_image(folder / name, (50, 40))
    (folder / "x.txt").write_text("no image")
    report = add_paths(store, [folder])
    (source,) = report.sources
    assert (source.kind, source.name) == (SourceKind.FOLDER, "set/images")
    assert source.plan.tile_px == source.plan.stride_px == 64
    assert [image.path.name for image in store.images()] == [
        "t1.png",
        "t2.png",
        "t10.png",
    ]
    tiles = store.tiles()
    assert tiles.boxes.tolist() == [[0, 0, 50, 40]] * 3
    assert list(zip(tiles.rows, tiles.cols, strict=True)) == [(0, 0), (0, 1), (1, 0)]
    assert report.notes == ()


def test_images_in_folders_of_a_folder_are_named(tmp_path, store):
    for name in ("a.png", "one/b.png", "two/c.png", "masks/a.png"):
        save_image(tmp_path / "d" / name)
    report = add_paths(store, [tmp_path / "d"])
    assert len(store.images()) == 1
    (note,) = report.notes
    assert "d: the images in its folders one, two were not added" in note


def test_different_sizes_are_padded_and_said(tmp_path, store):
    save_image(tmp_path / "d" / "a.png", (100, 120))
    save_image(tmp_path / "d" / "b.png", (64, 90), "L")
    report = add_paths(store, [tmp_path / "d"])
    assert report.sources[0].plan.tile_px == 128
    assert "(1 images)" in report.notes[0]
    assert "padded to 128 pixels" in report.notes[1]


def test_a_folder_may_be_worked_on_coarser(tmp_path, store):
    save_image(tmp_path / "d" / "a.png", (200, 200))
    with pytest.raises(ProjectError, match=r"a\.png cannot be resampled to 0\.5"):
        add_paths(store, [tmp_path / "d"], mpp=0.5)
    report = add_paths(store, [tmp_path / "d"], mpp=0.5, slide_mpp=0.25)
    assert (report.sources[0].plan.tile_px, report.sources[0].plan.mpp) == (112, 0.5)
    assert store.images()[0].working_shape == (100, 100)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ([(600, 100), (100, 100)], "different sizes"),
        ([(1100, 1100)], "of one size"),
        ([(500, 100), (100, 120)], "can differ 4 times"),
    ],
)
def test_images_that_are_no_tiles_are_refused(tmp_path, store, sizes, message):
    for number, size in enumerate(sizes):
        save_image(tmp_path / "d" / f"{number}.png", size)
    with pytest.raises(SlideError, match=message):
        add_paths(store, [tmp_path / "d"])
    assert store.sources() == ()


def test_unreadable_images_are_named_and_left_out(tmp_path, store):
    folder = tmp_path / "d"
    save_image(folder / "good.png")
    for number in range(5):
        (folder / f"bad{number}.png").write_bytes(b"broken")
    report = add_paths(store, [folder])
    assert len(store.images()) == 1
    (note,) = report.notes
    assert note.startswith("5 files were skipped: bad0.png, bad1.png, bad2.png and 2")
    assert [entry.path.name for entry in report.left_out][-1] == "bad4.png"
    (folder / "good.png").unlink()
    with pytest.raises(SlideError, match=r"None of the 5 files can be added\."):
        add_paths(store, [folder])


def test_a_folder_without_images_is_an_error(tmp_path, store):
    with pytest.raises(SlideError, match="has no images"):
        add_paths(store, [tmp_path])


def test_small_images_chosen_together_are_one_source(tmp_path, store):
    small = [save_image(tmp_path / f"{n}.png", (200, 200)) for n in (2, 1)]
    large = save_slide(tmp_path / "large.tif")
    report = add_paths(store, [small[0], large, small[1]])
    kinds = [(s.kind, len(store.images(s.id))) for s in report.sources]
    assert kinds == [(SourceKind.SLIDE, 1), (SourceKind.FOLDER, 2)]


def test_a_scanner_file_in_a_folder_is_a_slide(tmp_path, store):
    folder = tmp_path / "d"
    save_image(folder / "a.png")
    image = np.full((600, 600, 3), PINK, np.uint8)
    tifffile.imwrite(
        folder / "b.svs",
        image,
        photometric="rgb",
        tile=(64, 64),
        description="Aperio Image Library v11 |MPP = 0.5",
        metadata=None,
    )
    report = add_paths(store, [folder])
    assert [s.kind for s in report.sources] == [SourceKind.SLIDE, SourceKind.FOLDER]
    assert store.images(report.sources[0].id)[0].mpp == 0.5


def test_what_is_in_the_project_is_left_out(tmp_path, store):
    first, second = (save_image(tmp_path / "d" / f"{n}.png") for n in (1, 2))
    assert add_paths(store, [first, first]).left_out == ()
    with pytest.raises(ProjectError, match=r"1\.png is already in the project"):
        add_paths(store, [first])
    report = add_paths(store, [second, tmp_path / "d"])
    assert [image.path for image in store.images()] == [second, first][::-1]
    assert [(s.kind, len(store.images(s.id))) for s in report.sources] == [
        (SourceKind.FOLDER, 1)
    ]
    assert {entry.path for entry in report.left_out} == {first, second}


def test_one_bad_path_never_stops_the_others(tmp_path, store):
    good = save_image(tmp_path / "a.png")
    slide = save_slide(tmp_path / "s.tif", mpp=None)
    empty = tmp_path / "empty"
    empty.mkdir()
    report = add_paths(store, [slide, tmp_path / "none.png", empty, good])
    assert [source.name for source in report.sources] == ["s.tif", tmp_path.name]
    assert [entry.path.name for entry in report.left_out] == ["none.png", "empty"]
    assert report.notes[-1].startswith("2 files were skipped: none.png, empty.")
    with pytest.raises(SegmixError, match="None of the 2 files"):
        add_paths(store, [tmp_path / "none.png", empty])


def test_an_image_without_pixel_size_does_not_stop_its_folder(tmp_path, store):
    folder = tmp_path / "d"
    save_image(folder / "a.png")
    save_slide(folder / "b.tif", (64, 64), mpp=0.25)
    report = add_paths(store, [folder], mpp=0.5)
    assert [image.path.name for image in store.images()] == ["b.tif"]
    assert "a.png cannot be resampled to 0.5 µm per pixel" in report.notes[-1]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("tile_px", 31),
        ("tile_px", 5000),
        ("stride_px", 0),
        ("mpp", 0.0),
        ("slide_mpp", 350.0),
        ("min_tissue", 1.1),
    ],
)
def test_options_have_ranges(tmp_path, store, option, value):
    with pytest.raises(ProjectError, match="between"):
        add_paths(store, [tmp_path], **{option: value})


def test_the_sample_slide_comes_in(tmp_path, store):
    write_sample_slide(tmp_path / "s.tif", tmp_path / "m.tif", size=768)
    report = add_paths(store, [tmp_path / "s.tif"], tile_px=96)
    assert report.notes == ()
    assert 25 < len(store.tiles()) < 64
    assert store.images()[0].mpp == 0.5
