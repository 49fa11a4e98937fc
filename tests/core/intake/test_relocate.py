"""Files that have moved are found again, if they are the same images."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segmix_core.errors import ProjectError
from segmix_core.intake import add_paths, relocate_source
from segmix_core.intake.pixel_size import restated_note
from segmix_core.project.records import Fingerprint, NewImage, SourceKind, TilingPlan
from segmix_core.project.store import ProjectStore
from segmix_core.slides.first_look import FirstLook
from tests.core.intake.images import save_slide


def picture(path: Path, height: int = 12, width: int = 16, gray: int = 9) -> Path:
    path.parent.mkdir(exist_ok=True)
    pixels = np.full((height, width, 3), gray, np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def store(tmp_path: Path) -> ProjectStore:
    store = ProjectStore.create(tmp_path / "p.segmix", ["gland"])
    images = [
        NewImage(
            path=picture(tmp_path / "tiles" / name),
            height=12,
            width=16,
            mpp_y=None,
            mpp_x=None,
            downsample=1.0,
            group="",
            boxes=np.array([[0, 0, 12, 16]]),
            rows=np.array([0]),
            cols=np.array([0]),
            fingerprint=Fingerprint.of(tmp_path / "tiles" / name),
        )
        for name in ("a.png", "b.png")
    ]
    plan = TilingPlan(16, 16)
    store.add_source(SourceKind.FOLDER, tmp_path / "tiles", "tiles", plan, images)
    return store


def test_the_same_files(store: ProjectStore, tmp_path: Path) -> None:
    new = (tmp_path / "tiles").rename(tmp_path / "new")
    assert relocate_source(store, 1, new) == ()
    assert [image.path.parent for image in store.images()] == [new, new]


@pytest.mark.parametrize("shape", [(12, 17), (24, 32), (16, 12)])
def test_images_of_another_size_are_refused(
    store: ProjectStore, tmp_path: Path, shape: tuple[int, int]
) -> None:
    new = tmp_path / "new"
    picture(new / "a.png")
    picture(new / "b.png", *shape)
    old = store.images()
    message = f"b.png is {shape[0]} x {shape[1]} pixels .* but the image .* is 12 x 16"
    with pytest.raises(ProjectError, match=message):
        relocate_source(store, 1, new)
    assert store.images() == old


def test_files_that_cannot_be_read_are_refused(
    store: ProjectStore, tmp_path: Path
) -> None:
    new = (tmp_path / "tiles").rename(tmp_path / "new")
    (new / "b.png").write_bytes(b"no image")
    with pytest.raises(ProjectError, match=r"b\.png cannot be used at its new path"):
        relocate_source(store, 1, new)
    assert store.image(1).path.parent == tmp_path / "tiles"


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".tif"])
def test_files_that_were_cut_short_are_refused(tmp_path: Path, suffix: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (90, 80, 3), dtype=np.uint8)
    path, new = tmp_path / "old" / f"a{suffix}", tmp_path / "new" / f"a{suffix}"
    for folder in (path.parent, new.parent):
        folder.mkdir()
    Image.fromarray(pixels).save(path)
    whole = path.read_bytes()
    with ProjectStore.create(tmp_path / "q.segmix", ["gland"]) as store:
        add_paths(store, [path.parent])
        for place in (path, new):
            place.write_bytes(whole[: len(whole) * 2 // 3])
            with pytest.raises(ProjectError, match=r"a\.\w+ cannot be used at its new"):
                relocate_source(store, 1, place.parent)
            assert store.image(1).path == path
        new.write_bytes(whole)
        assert relocate_source(store, 1, new.parent) == ()


def test_other_content_and_other_names_are_told(
    store: ProjectStore, tmp_path: Path
) -> None:
    new = tmp_path / "new"
    picture(new / "a.png", gray=8)
    shutil.copy(tmp_path / "tiles" / "b.png", new / "B.PNG")
    notes = relocate_source(store, 1, new)
    assert notes[0] == "1 file has a new name, such as B.PNG instead of b.png."
    assert notes[1].startswith("1 file has changed since being added, such as a.png")


def test_what_changes_meanwhile_is_not_overwritten(
    store: ProjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tmp_path / "tiles", tmp_path / "new")
    shutil.copytree(tmp_path / "tiles", tmp_path / "other")
    headers = FirstLook.headers

    def slow(look: FirstLook, paths: list[Path]) -> object:
        with ProjectStore.open(store.path) as second:
            second.relocate(1, tmp_path / "other")
        return headers(look, paths)

    monkeypatch.setattr(FirstLook, "headers", slow)
    with pytest.raises(ProjectError, match="changed by another program"):
        relocate_source(store, 1, tmp_path / "new")
    assert store.sources()[0].path == tmp_path / "other"


def test_changed_files_are_accepted_where_they_are(
    store: ProjectStore, tmp_path: Path
) -> None:
    picture(tmp_path / "tiles" / "a.png", gray=8)
    notes = relocate_source(store, 1, tmp_path / "tiles")
    assert notes[0].startswith("Accepted 1 changed file, such as a.png. Labels do not")
    assert relocate_source(store, 1, tmp_path / "tiles") == ()


@pytest.mark.parametrize("stays", [True, False])
def test_a_file_that_states_another_pixel_size_is_told(
    tmp_path: Path, stays: bool
) -> None:
    path = save_slide(tmp_path / "a.tif", mpp=0.25)
    new = path if stays else tmp_path / "new" / "a.tif"
    with ProjectStore.create(tmp_path / "q.segmix", ["gland"]) as store:
        add_paths(store, [path], tile_px=64)
        # A size that a person gave is no news of the file.
        store.set_mpp(np.array([1]), 1.0)
        assert relocate_source(store, 1, path) == ()
        save_slide(new, mpp=0.5)
        notes = relocate_source(store, 1, new)
        assert "a.tif states 0.5 µm per pixel now, and the project keeps 1." in notes[1]
        assert "segmix set-mpp PROJECT 1 0.5'" in notes[1]
        assert store.image(1).mpp == 1


def test_sizes_that_are_as_they_were_are_not_told(tmp_path: Path) -> None:
    path = save_slide(tmp_path / "a.tif", mpp=0.25)
    with ProjectStore.create(tmp_path / "q.segmix", ["gland"]) as store:
        add_paths(store, [path], tile_px=64)
        (image,) = store.images()
    with FirstLook() as look:
        header = look.header(path)
    assert restated_note([(image, header)]) == ()
    unknown = replace(image, mpp_y=None, mpp_x=None)
    (note,) = restated_note([(unknown, header)])
    assert "states 0.25 µm per pixel now, and the project keeps none" in note
    others = [(replace(image, mpp_y=0.5), header), (unknown, header)]
    (note,) = restated_note(others)
    assert "now, and 1 more images do so, and the project keeps 0.5 x 0.25" in note
    assert restated_note([(image, replace(header, mpp_yx=None))]) == ()


def add_slide(store: ProjectStore, path: Path) -> int:
    image = NewImage(
        path=path,
        height=12,
        width=16,
        mpp_y=None,
        mpp_x=None,
        downsample=1.0,
        group="",
        boxes=np.array([[0, 0, 12, 16]]),
        rows=np.array([0]),
        cols=np.array([0]),
    )
    plan = TilingPlan(16, 16)
    return store.add_source(SourceKind.SLIDE, path, path.name, plan, [image]).id


def test_a_slide_is_found_in_the_folder_that_is_chosen(
    store: ProjectStore, tmp_path: Path
) -> None:
    source = add_slide(store, picture(tmp_path / "s" / "slide.png"))
    new = (tmp_path / "s").rename(tmp_path / "t")
    relocate_source(store, source, new)
    assert store.images(source)[0].path == new / "slide.png"
    (new / "slide.png").rename(new / "another.png")
    with pytest.raises(ProjectError, match="is a folder"):
        relocate_source(store, source, new)


@pytest.mark.parametrize(("count", "found"), [(1, "0.dcm"), (2, "t")])
def test_a_dicom_slide_is_found_in_the_folder_that_is_chosen(
    store: ProjectStore, tmp_path: Path, count: int, found: str
) -> None:
    source = add_slide(store, tmp_path / "s" / "slide.dcm")
    new = tmp_path / "t"
    new.mkdir()
    for number in range(count):
        (new / f"{number}.dcm").write_bytes(b"no image")
    with pytest.raises(ProjectError, match=rf"{found} cannot be used at its new path"):
        relocate_source(store, source, new)
