from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from segmix_core.errors import ProjectError
from segmix_core.project.labels_import import ImportKind, import_labels
from segmix_core.project.records import Review, TilingPlan
from segmix_core.project.store import ProjectStore
from tests.core.project.plain_images import add_images

Write = Callable[[str, str], Path]


def labels_of(store: ProjectStore) -> list[list[int]]:
    labels: list[list[int]] = store.tiles().labels.tolist()
    return labels


def test_labels_splits_and_groups_are_one_change(
    folder_store: ProjectStore, write: Write
) -> None:
    table = write(
        "labels.csv",
        "filename,split,is_gland,is_stroma,group,width,height,score\n"
        "a.png,train,1,0,7,96,96,0.5\n"
        "b.png,val,,1,8,96,96,0.5\n",
    )
    revision = folder_store.revision
    report = import_labels(folder_store, table)
    assert (report.images, report.tiles, report.labels) == (2, 2, 3)
    assert report.notes == ("1 images of the project have no row, first c.png.",)
    assert labels_of(folder_store) == [[1, 0], [-1, 1], [-1, -1]]
    assert [i.split for i in folder_store.images()] == ["train", "val", "train"]
    assert [i.group for i in folder_store.images()] == ["7", "8", ""]
    assert folder_store.revision == revision + 1
    folder_store.undo()
    assert labels_of(folder_store) == [[-1, -1]] * 3
    assert [i.split for i in folder_store.images()] == ["train"] * 3
    assert [i.group for i in folder_store.images()] == [""] * 3
    folder_store.redo()
    assert import_labels(folder_store, table).labels == 3
    assert folder_store.revision == revision + 3


def test_blank_cells_keep_labels(folder_store: ProjectStore, write: Write) -> None:
    folder_store.set_labels(np.array([1]), np.array([[1, 1]], np.int8))
    import_labels(folder_store, write("t.csv", "file_name,label_gland\na,0\nb,\n"))
    assert labels_of(folder_store) == [[0, 1], [-1, -1], [-1, -1]]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("bom.csv", "\ufefffilename,is_gland,is_stroma\na.png,1,0\n"),
        ("semicolon.csv", "filename;is_gland;is_stroma\na.png;1;0\n"),
        ("tabs.csv", "filename\tis_gland\tis_stroma\na.png\t1\t0\n"),
        ("case.csv", 'File_Name, IS_Gland ,is_stroma\n"a.png",TRUE,no\n\n'),
        ("path.csv", "image,has_gland,has_stroma\nimages\\a.png,1.0,0.0\n"),
        ("stem.csv", "filename,is_gland,is_stroma\na,1,0\n"),
        ("other.csv", "filename,is_gland,is_stroma\na.jpg,1,0\n"),
        ("metadata.csv", "file_name,label_gland,label_stroma\na.png,1,0\n"),
        ("label.csv", "file_name,label\na.png,Gland\n"),
        ("labels.csv", "file_name,labels\na.png,gland\nb.png,\n"),
        ("m.jsonl", '{"file_name": "a.png", "labels": ["gland"]}\n\n'),
        ("n.jsonl", '{"file_name": "a.png", "label_gland": 1, "label_stroma": 0}'),
        ("null.jsonl", '{"file_name": "a.png", "labels": "gland", "split": null}'),
    ],
)
def test_spellings(
    folder_store: ProjectStore, write: Write, name: str, text: str
) -> None:
    import_labels(folder_store, write(name, text))
    assert labels_of(folder_store) == [[1, 0], [-1, -1], [-1, -1]]


def test_separators_in_class_names_do_not_count(
    folder_store: ProjectStore, write: Write
) -> None:
    folder_store.add_class("non-gland")
    folder_store.add_class("nonstroma")
    folder_store.add_class("non stroma")
    table = "filename,has_nongland,has_nonstroma,has_non_stroma\na.png,1,0,1\n"
    import_labels(folder_store, write("t.csv", table))
    assert labels_of(folder_store)[0] == [-1, -1, 1, 0, 1]


def test_several_names_in_a_list(folder_store: ProjectStore, write: Write) -> None:
    import_labels(
        folder_store, write("t.csv", "file_name,labels\nb.png,stroma; gland\n")
    )
    assert labels_of(folder_store)[1] == [1, 1]


HEAD = "filename,split,is_gland,is_stroma,width\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + "x.png,,1,0,\n" * 4, r"4 files .* \(x.png, x.png, x.png, \.\.\.\)"),
        (HEAD + ",,1,0,\n", r"1 files .* \(no name\)"),
        ("filename,is_gland,is_fat\na.png,1,0\n", r"1 unknown classes \(fat\)"),
        ("filename,labels\na.png,fat\nb.png,fat\n", r"1 unknown classes \(fat\)"),
        (HEAD + "a.png,,1,0,\na.png,,1,0,\n", r"1 duplicate rows \(line 3: a.png\)"),
        (HEAD + "a.png,,2,0,\n", r"1 wrong numbers \(line 2: is_gland is '2'\)"),
        (HEAD + "a.png,,1,0,9x\n", r"1 wrong numbers \(line 2: width is '9x'\)"),
        (HEAD + "a.png,,1,0,inf\n", "1 wrong numbers"),
        (HEAD + "a.png,,1,0,90\n", r"sizes that differ \(line 2: width 90, not 96\)"),
        (HEAD + "a.png,left,1,0,\n", r"1 splits other .* \(line 2: left\)"),
        (HEAD + "x.png,,7,0,\na.png,,1,0,\n", r"1 files .*; 1 wrong numbers"),
        ("a,b\n1,2\n", "columns with the file"),
        ("filename,size\na.png,2\n", "columns with the file"),
        ("filename,is_gland,is_gland\na.png,1,1\n", "the column is_gland twice"),
        (HEAD + "a.png,1\n", "2 cells in line 2, 5 columns"),
        (HEAD, "without rows"),
        ("", "without rows"),
    ],
)
def test_wrong_tables(
    folder_store: ProjectStore, write: Write, text: str, message: str
) -> None:
    revision = folder_store.revision
    with pytest.raises(ProjectError, match=message):
        import_labels(folder_store, write("labels.csv", text))
    assert folder_store.revision == revision


def test_files_that_are_no_tables(
    folder_store: ProjectStore, tmp_path: Path, write: Write
) -> None:
    with pytest.raises(ProjectError, match="no file there"):
        import_labels(folder_store, tmp_path / "none.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ProjectError, match="UTF-8"):
        import_labels(folder_store, tmp_path / "bytes.csv")
    with pytest.raises(ProjectError, match="no object in line 1"):
        import_labels(folder_store, write("t.jsonl", "[1]"))
    with pytest.raises(ProjectError, match="Expecting value"):
        import_labels(folder_store, write("u.jsonl", "nonsense"))
    with (tmp_path / "huge.csv").open("wb") as file:
        file.truncate(300 * 2**20)
    with pytest.raises(ProjectError, match="more than 256 MB"):
        import_labels(folder_store, tmp_path / "huge.csv")


def test_unknown_kind(folder_store: ProjectStore, tmp_path: Path) -> None:
    kind: ImportKind = "guess"  # type: ignore[assignment]
    with pytest.raises(ValueError, match="guess"):
        import_labels(folder_store, tmp_path, kind=kind)


def test_the_same_name_in_two_sources(
    folder_store: ProjectStore, tmp_path: Path, write: Write
) -> None:
    add_images(folder_store, tmp_path / "more", ["a.png"])
    table = write("t.csv", "filename,is_gland\na.png,1\n")
    with pytest.raises(ProjectError, match=r"several images of the project \(a.png\)"):
        import_labels(folder_store, table)
    import_labels(folder_store, table, source_id=2)
    assert labels_of(folder_store)[3] == [1, -1]
    import_labels(folder_store, write("u.csv", "file,is_gland\nimages/a.png,0\n"))
    assert labels_of(folder_store)[0] == [0, -1]


def test_rows_about_tiles_of_a_slide(slide_store: ProjectStore, write: Write) -> None:
    head = "slide,x,y,width,height,is_gland\n"
    table = write("t.csv", head + "slide,64,0,64,64,1\nslide,0,128,64,64,0\n")
    import_labels(slide_store, table)
    labels = slide_store.tiles().labels[:, 0]
    assert labels[1] == 1
    assert labels[8] == 0
    assert (labels >= 0).sum() == 2
    for row, message in (
        ("slide,65,0,64,64,1", "tiles that are not in the project"),
        ("slide,64,0,32,32,1", "tiles that are not in the project"),
        ("slide,64,-1,64,64,1", "wrong numbers"),
        ("slide,,0,64,64,1\nslide,0,0,64,64,9", "wrong numbers"),
    ):
        with pytest.raises(ProjectError, match=message):
            import_labels(slide_store, write("t.csv", f"{head}{row}\n"))
    with pytest.raises(ProjectError, match="several tiles and a row without x and y"):
        import_labels(slide_store, write("t.csv", "slide,is_gland\nslide,1\n"))


def test_groups_across_splits_are_told(
    folder_store: ProjectStore, write: Write
) -> None:
    text = "filename,split,patient_id,is_gland\na,train,p,1\nb,test,p,1\nc,val,q,0\n"
    report = import_labels(folder_store, write("t.csv", text))
    assert report.notes[0].startswith("1 groups have images in several splits, first p")


def test_other_class_order_is_told(folder_store: ProjectStore, write: Write) -> None:
    table = write("labels.csv", "filename,is_gland,is_stroma\na,1,0\n")
    write("classes.csv", "mask_value,class_name\n0,background\n1,stroma\n2,Gland\n")
    report = import_labels(folder_store, table)
    assert "numbers 2 classes differently (stroma 1, here 2)" in report.notes[0]
    write("classes.csv", "mask_value,class_name\n1,gland\n2,stroma\n")
    assert len(import_labels(folder_store, table).notes) == 1
    write("classes.csv", "number,name\n1,stroma\n")
    assert len(import_labels(folder_store, table).notes) == 1


WINDOWS = (
    "filename,split,x,y,size,has_gland,has_stroma\n"
    "a.png,val,32,0,48,1,1\n"
    "a.png,val,0,0,48,1,0\n"
    "b.png,train,16,48,48,0,\n"
)


def test_windows_replace_whole_images(folder_store: ProjectStore, write: Write) -> None:
    report = import_labels(folder_store, write("patches.csv", WINDOWS))
    assert (report.images, report.tiles, report.labels) == (2, 3, 5)
    assert report.notes[1] == "1 images without rows were cut into unlabelled windows."
    tiles = folder_store.tiles()
    assert tiles.image_ids.tolist() == [1, 1, 2, 3, 3, 3, 3]
    assert tiles.boxes[:3].tolist() == [
        [0, 0, 48, 48],
        [0, 32, 48, 48],
        [48, 16, 48, 48],
    ]
    assert tiles.rows.tolist() == [0, 0, 0, 0, 0, 1, 1]
    assert tiles.cols.tolist() == [0, 1, 0, 0, 1, 0, 1]
    assert tiles.labels[:3].tolist() == [[1, 0], [1, 1], [0, -1]]
    assert folder_store.sources()[0].plan == TilingPlan(48, 48)
    assert folder_store.image(1).split == "val"
    folder_store.undo()
    assert folder_store.tiles().ids.tolist() == [1, 2, 3]
    assert folder_store.sources()[0].plan == TilingPlan(96, 96)
    folder_store.redo()
    assert folder_store.tiles().labels[:3].tolist() == [[1, 0], [1, 1], [0, -1]]


def test_windows_do_not_hide_labels(folder_store: ProjectStore, write: Write) -> None:
    table = write("patches.csv", WINDOWS)
    folder_store.set_reviews(np.array([3]), Review.ACCEPTED)
    with pytest.raises(ProjectError, match=r"1 labelled images, first c\.png"):
        import_labels(folder_store, table)
    assert import_labels(folder_store, table, replace=True).tiles == 3
    folder_store.undo()
    assert folder_store.tiles().reviews.tolist() == [0, 0, 1]


@pytest.mark.parametrize("edge", [40, 96])
def test_unlisted_images_are_covered(
    folder_store: ProjectStore, write: Write, edge: int
) -> None:
    text = f"filename,x,y,size,has_gland\na.png,0,0,{edge},1\n"
    import_labels(folder_store, write("p.csv", text))
    tiles = folder_store.tiles()
    covered = np.zeros((96, 96), bool)
    for row in np.flatnonzero(tiles.image_ids == 2):
        box = tiles.box(int(row))
        assert box.bottom <= 96
        assert box.right <= 96
        covered[box.slices] = True
    assert covered.all()
    assert folder_store.sources()[0].plan.tile_px == (48 if edge == 40 else 96)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a.png,val,60,0,48,1,0\n", "windows outside their image"),
        ("a.png,val,0,0,0,1,0\n", "windows outside their image"),
        ("a.png,val,0,0,48,1,0\n" * 2, "duplicate rows"),
        ("a.png,val,0,0,48,1,0\na.png,train,8,0,48,1,0\n", "several splits"),
        ("a.png,val,0.5,0,48,1,0\n", r"wrong numbers \(line 2: x is '0.5'\)"),
    ],
)
def test_wrong_windows(
    folder_store: ProjectStore, write: Write, rows: str, message: str
) -> None:
    text = WINDOWS.splitlines()[0] + "\n" + rows
    with pytest.raises(ProjectError, match=message):
        import_labels(folder_store, write("patches.csv", text))
    assert folder_store.revision == 1


def test_windows_need_boxes_and_a_folder(
    folder_store: ProjectStore, slide_store: ProjectStore, write: Write
) -> None:
    table = write("t.csv", "filename,is_gland\na,1\n")
    with pytest.raises(ProjectError, match="the columns x, y and size"):
        import_labels(folder_store, table, kind="windows")
    table = write("t.csv", "filename,x,y,size,has_gland\nslide,0,0,64,1\n")
    with pytest.raises(ProjectError, match="windows on slides"):
        import_labels(slide_store, table)


def test_table_of_a_folder(
    folder_store: ProjectStore, tmp_path: Path, write: Write
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "metadata.csv").write_text("file_name,labels\na,gland\n")
    assert import_labels(folder_store, folder).labels == 2
    (folder / "labels.csv").write_text("file_name,labels\na,gland\n")
    with pytest.raises(ProjectError, match="Choose the table itself"):
        import_labels(folder_store, folder)
