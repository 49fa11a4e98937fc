import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segmix_core.errors import ProjectError
from segmix_core.project.importers.problems import printable
from segmix_core.project.labels_import import ImportKind, import_labels
from segmix_core.project.records import KEEP, Review, TileTable, TilingPlan
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
    assert report.notes == (
        "1 image in the project has no row in the file, such as c.png.",
    )
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


def test_known_labels_are_overturned_or_kept(
    folder_store: ProjectStore, write: Write
) -> None:
    known = np.array([[1, 0], [0, -1]], np.int8)
    folder_store.set_labels(np.array([1, 2]), known)
    table = write("t.csv", "file,is_gland,is_stroma\na,0,0\nb,1,1\nc,1,\n")
    report = import_labels(folder_store, table, keep=True)
    assert (report.labels, report.overturned, report.kept) == (2, 0, 2)
    first = (
        "2 known labels differed from the file and kept the existing value, such as "
    )
    assert report.notes == (f"{first}line 2 (a.png).",)
    assert labels_of(folder_store) == [[1, 0], [0, 1], [1, -1]]
    report = import_labels(folder_store, table)
    assert (report.labels, report.overturned, report.kept) == (5, 2, 0)
    assert report.notes[0].startswith("2 known labels changed to the opposite")
    assert labels_of(folder_store) == [[0, 0], [1, 1], [1, -1]]
    folder_store.undo()
    assert labels_of(folder_store) == [[1, 0], [0, 1], [1, -1]]
    with pytest.raises(ProjectError, match="cannot be combined"):
        import_labels(folder_store, table, keep=True, replace=True)


def test_splits_that_change_are_told(folder_store: ProjectStore, write: Write) -> None:
    folder_store.set_splits(np.array([1, 2]), ["val", "test"])
    text = "file,split,is_gland\na,train,1\nb,test,1\nc,val,0\n"
    report = import_labels(folder_store, write("t.csv", text))
    moved = "1 image moved to another split, such as a.png (was in val)."
    assert report.notes == (moved,)


@pytest.mark.parametrize("column", ["split", "group"])
def test_rows_of_an_image_agree(
    slide_store: ProjectStore, write: Write, column: str
) -> None:
    text = f"slide,x,y,{column},is_gland\nslide,0,0,val,1\nslide,64,0,test,1\n"
    with pytest.raises(ProjectError, match=f"several {column}s .line 3: slide.tif"):
        import_labels(slide_store, write("t.csv", text))


def test_labels_that_say_nothing_are_told(
    folder_store: ProjectStore, write: Write
) -> None:
    text = "file,is_gland,is_stroma\na,1,1\nb,1,1\nc,1,{}\n"
    report = import_labels(folder_store, write("t.csv", text.format(1)))
    assert report.notes[0].startswith("Every class is present in every tile")
    assert not import_labels(folder_store, write("t.csv", text.format(0))).notes[1:]


def test_a_path_of_another_folder_is_no_match(
    folder_store: ProjectStore, write: Write
) -> None:
    table = write("t.csv", "file,is_gland\nother/a.png,1\n")
    message = r"than in the project \(line 2: other/a.png is not images/a.png\)"
    with pytest.raises(ProjectError, match=message):
        import_labels(folder_store, table)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("file\tis_gland\r\na.png\t1\r\n", "utf-16"),
        ("file,is_gland,note\na.png,1,two\nc.png,0,\n".replace("\n", "\r"), "utf-8"),
        ('file,is_gland,note\nb.png,,"two\nlines, ""quoted"""\na.png,1,\n', "utf-8"),
        ('"file","is_gland","a;b;c;d"\na.png,1,\n', "utf-8-sig"),
        ("file,is_gland,\na.png,1,\u2028\x0c\n", "utf-8"),
        ("sep=,\nfile,is_gland\na.png,1\n", "utf-8"),
        ("SEP=;\r\nfile;is_gland;a,b,c,d\r\na.png;1;\r\n", "utf-16"),
        ("sep=\t\nfile\tis_gland\na.png\t1\n", "utf-8-sig"),
        ('"sep=;",,\rfile;is_gland\ra.png;1\r', "utf-8"),
        ("sep=|\nfile|is_gland\na.png|1\n", "utf-8"),
        ("# made by a, b; c\n#\n\n  \nfile,is_gland\na.png,1\n", "utf-8"),
        ("\n# one\nsep=;\n# two\nfile;is_gland\na.png;1\n", "utf-8"),
        ('"# a quoted, comment"\nfile,is_gland\na.png,1\n', "utf-8"),
        ("#,file,is_gland\n1,a.png,1\n", "utf-8"),
        ('"#";file;is_gland\n1;a.png;1\n', "utf-8"),
    ],
)
def test_tables_as_programs_write_them(
    folder_store: ProjectStore, tmp_path: Path, text: str, encoding: str
) -> None:
    (tmp_path / "t.csv").write_bytes(text.encode(encoding))
    import_labels(folder_store, tmp_path / "t.csv")
    assert labels_of(folder_store)[0] == [1, -1]


def test_a_row_is_at_its_first_line(folder_store: ProjectStore, write: Write) -> None:
    text = 'file,is_gland,note\na,1,"two\nlines"\n\nx,1,"two\nlines"\n'
    with pytest.raises(ProjectError, match="line 5: x"):
        import_labels(folder_store, write("t.csv", text))


def test_texts_of_others_are_shown_printable(
    folder_store: ProjectStore, write: Write
) -> None:
    text = f'file,is_gland\n"{"long" * 100}",1\n"two\nlines\x1b[31m",1\n'
    with pytest.raises(ProjectError) as caught:
        import_labels(folder_store, write("t.csv", text))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400
    odd = os.fsdecode(b"t\xff.csv")
    import_labels(folder_store, write(odd, "file,is_gland\na,1\n"))
    change = folder_store.undo()
    assert change is not None
    assert r"t\udcff.csv" in change.description
    assert printable("a\x1b" * 3, 4) == r"a\x1ba\x1b..."


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


def test_signs_in_class_names_count(folder_store: ProjectStore, write: Write) -> None:
    for name in ("CD8+", "CD8-", "T-cell", "T cell", "PD-L1 <1%", "PD-L1 >1%"):
        folder_store.add_class(name)
    table = (
        "filename,is_CD8+,is_CD8-,is_T-cell,is_t_cell,is_PD-L1 <1%,is_PD-L1_>1%\n"
        "a.png,1,0,1,0,0,1\n"
    )
    import_labels(folder_store, write("t.csv", table))
    assert labels_of(folder_store)[0] == [-1, -1, 1, 0, 1, 0, 0, 1]
    listed = '{"file": "b.png", "labels": ["CD8-", "pd-l1 <1%", "t cell"]}'
    import_labels(folder_store, write("t.jsonl", listed))
    assert labels_of(folder_store)[1] == [0, 0, 0, 1, 0, 1, 1, 0]
    for name in ("CD8", "CD8_+", "Tcell", "PD-L1 1%", "T\u2013cell"):
        table = write("t.csv", f"filename,is_{name}\na.png,1\n")
        with pytest.raises(ProjectError, match=f"unknown classes .{name.lower()[:3]}"):
            import_labels(folder_store, table)


def test_one_class_has_one_column(folder_store: ProjectStore, write: Write) -> None:
    table = write("t.csv", "filename,is_gland,has_gland\na.png,1,0\n")
    with pytest.raises(ProjectError, match=r"one column for a class \(has_gland\)"):
        import_labels(folder_store, table)
    table = write("t.csv", "filename,label,is_gland\na.png,stroma,1\n")
    notes = import_labels(folder_store, table).notes
    assert notes[0] == "The column label was ignored; labels are read from is_gland."
    table = write("t.csv", "filename,label,labels\na.png,stroma,gland\n")
    notes = import_labels(folder_store, table).notes
    assert notes[0] == "The column label was ignored; labels are read from labels."


@pytest.mark.parametrize(
    ("head", "cells", "note"),
    [
        ("image,file", "b.png,a.png", "image was ignored; image names are read from"),
        ("image,filename", "b.png,a.png", "image was ignored; image names"),
        ("file,set,split", "a.png,test,val", "set was ignored; splits are read from"),
        ("file,case,patient", "a.png,1,2", "case was ignored; groups are read from"),
    ],
)
def test_of_two_columns_for_one_thing_none_is_ignored_in_silence(
    folder_store: ProjectStore, write: Write, head: str, cells: str, note: str
) -> None:
    table = write("t.csv", f"{head},is_gland\n{cells},1\n")
    notes = import_labels(folder_store, table).notes
    assert [entry for entry in notes if note in entry] == [notes[0]]


def test_a_separator_that_no_table_has(
    folder_store: ProjectStore, write: Write
) -> None:
    for sign in ("", "a", ",a", ",a,"):
        table = write("t.csv", f"\nsep={sign}\nfile,is_gland\na.png,1\n")
        with pytest.raises(ProjectError, match="line 2 does not name a comma"):
            import_labels(folder_store, table)


def test_lines_before_the_header_count(
    folder_store: ProjectStore, write: Write
) -> None:
    text = "sep=;\n# note\n\nfile;is_gland\na.png;1\nx.png;1\n"
    with pytest.raises(ProjectError, match=r"line 6: x\.png"):
        import_labels(folder_store, write("t.csv", text))
    text = "# note\nfile,is_gland,is_gland\na.png,1,1\n"
    with pytest.raises(ProjectError, match="line 2 has the column is_gland twice"):
        import_labels(folder_store, write("t.csv", text))
    for text in ("# only\n# comments\n", "sep=;\n"):
        with pytest.raises(ProjectError, match="no rows"):
            import_labels(folder_store, write("t.csv", text))


def test_several_names_in_a_list(folder_store: ProjectStore, write: Write) -> None:
    import_labels(
        folder_store, write("t.csv", "file_name,labels\nb.png,stroma; gland\n")
    )
    assert labels_of(folder_store)[1] == [1, 1]


HEAD = "filename,split,is_gland,is_stroma,width\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            HEAD + "x.png,,1,0,\n" * 4,
            r"files .* \(line 2: x.png, line 3: x.png, .*\.\.\.; 4 in all\)",
        ),
        (HEAD + ",,1,0,\n", r"files .* \(line 2: no name\)"),
        ("filename,is_gland,is_fat\na.png,1,0\n", r"unknown classes \(fat\)"),
        ("filename,labels\na.png,fat\nb.png,fat\n", r"unknown classes \(fat\)"),
        (HEAD + "a.png,,1,0,\na.png,,1,0,\n", r"duplicate rows \(line 3: a.png\)"),
        (HEAD + "a.png,,2,0,\n", r"wrong numbers \(line 2: is_gland is '2'\)"),
        (HEAD + "a.png,,1,0,9x\n", r"wrong numbers \(line 2: width is '9x'\)"),
        (HEAD + "a.png,,1,0,inf\n", "wrong numbers"),
        (HEAD + "a.png,,1,0,90\n", r"sizes that differ \(line 2: width 90, not 96\)"),
        (HEAD + "a.png,left,1,0,\n", r"splits other .* \(line 2: left\)"),
        (HEAD + "x.png,,7,0,\na.png,,1,0,\n", r"files .*; wrong numbers"),
        ("a,b\n1,2\n", "no column with file names"),
        ("filename,size\na.png,2\n", "no column with labels"),
        ("filename,is_gland,is_gland\na.png,1,1\n", "the column is_gland twice"),
        (HEAD + "a.png,1\n", "line 2 has 2 cells for 5 columns"),
        (HEAD, "no rows"),
        ("", "no rows"),
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
    with pytest.raises(ProjectError, match=r"none\.csv does not exist"):
        import_labels(folder_store, tmp_path / "none.csv")
    for content, message in (
        (b"\xff\xfe\x00", "line 1 is not UTF-16 text"),
        ("file,is_gland\nä.png,1\n".encode("cp1252"), "line 2 is not UTF-8 text"),
        ("file,is_gland\na.png,1\n".encode("utf-16-le"), "line 1 has a NUL"),
        (b"file,is_gland\na.png,1\0\n", "line 2 has a NUL character"),
        (b'file,is_gland\n"a.png,1\n', "line 2: unexpected end of data"),
        (b'file,is_gland\n"a"b.png,1\n', "line 2: .* expected after"),
        (b"file,is_gland\n" + b"a" * 200_000 + b",1\n", "line 2: field larger"),
    ):
        (tmp_path / "bytes.csv").write_bytes(content)
        with pytest.raises(ProjectError, match=message):
            import_labels(folder_store, tmp_path / "bytes.csv")
    for text, message in (
        ("[1]", "line 1 is not a JSON object"),
        ("nonsense", "line 1 is not valid JSON .Expecting value"),
        ("\n" + "[" * 100_000, "line 2 is nested too deeply"),
        ('{"file": "\\ud800", "is_gland": 1}', "incomplete character"),
        ('{"\\udfff": "a", "is_gland": 1}', "incomplete character"),
        ('{"file": "a.png", "is_gland": 1, "IS_gland": 0}', "is_gland twice"),
        ('{"file": "a.png", "is_gland": 1' + "0" * 5000 + "}", "is not valid JSON"),
    ):
        with pytest.raises(ProjectError, match=message):
            import_labels(folder_store, write("t.jsonl", text))
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
    with pytest.raises(
        ProjectError,
        match=r"several images \(line 2: a.png matches images/a.png or more/a.png\)",
    ):
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
        ("slide,65,0,64,64,1", "tiles not in the project"),
        ("slide,64,0,32,32,1", "tiles not in the project"),
        ("slide,64,-1,64,64,1", "wrong numbers"),
        ("slide,,0,64,64,1\nslide,0,0,64,64,9", "wrong numbers"),
    ):
        with pytest.raises(ProjectError, match=message):
            import_labels(slide_store, write("t.csv", f"{head}{row}\n"))
    with pytest.raises(ProjectError, match="several tiles need x and y"):
        import_labels(slide_store, write("t.csv", "slide,is_gland\nslide,1\n"))


def test_windows_of_one_corner_are_told_apart(
    folder_store: ProjectStore, write: Write
) -> None:
    head = "file,x,y,size,has_gland\n"
    windows = write("w.csv", f"{head}a.png,0,0,48,1\na.png,0,0,96,0\n")
    import_labels(folder_store, windows)
    head = "file,x,y,width,height,has_gland\n"
    import_labels(folder_store, write("t.csv", f"{head}a.png,0,0,96,96,1\n"))
    tiles = folder_store.tiles()
    assert tiles.labels[tiles.image_ids == 1].tolist() == [[1, -1], [1, -1]]
    with pytest.raises(ProjectError, match="positions that match several tiles need"):
        import_labels(folder_store, write("t.csv", f"{head}a.png,0,0,,,1\n"))


def test_what_others_store_meanwhile_is_kept(
    folder_store: ProjectStore, write: Write
) -> None:
    table = write("t.csv", "file,is_gland,is_stroma\na,1,\nb,1,1\n")

    class Interrupted(ProjectStore):
        """Another program labels tiles after this one has read them."""

        def tiles(self, source_id: int | None = None) -> TileTable:
            read = super().tiles(source_id)
            if (read.labels < 0).all():
                states = np.array([[KEEP, 1], [0, KEEP]], np.int8)
                folder_store.set_labels(np.array([1, 2]), states)
            return read

    with Interrupted.open(folder_store.path) as store:
        report = import_labels(store, table, keep=True)
    assert (report.labels, report.kept) == (2, 1)
    assert labels_of(folder_store) == [[1, 1], [0, 1], [-1, -1]]


def test_groups_across_splits_are_told(
    folder_store: ProjectStore, write: Write
) -> None:
    text = "filename,split,patient_id,is_gland\na,train,p,1\nb,test,p,1\nc,val,q,0\n"
    report = import_labels(folder_store, write("t.csv", text))
    assert report.notes[0].startswith("1 group has images in several splits, such as p")


def test_other_class_order_is_told(folder_store: ProjectStore, write: Write) -> None:
    table = write("labels.csv", "filename,is_gland,is_stroma\na,1,0\n")
    write("classes.csv", "mask_value,class_name\n0,background\n1,stroma\n2,Gland\n")
    report = import_labels(folder_store, table)
    assert (
        "numbers 2 classes differently (stroma 1, but 2 in the project)"
        in report.notes[0]
    )
    write("classes.csv", "mask_value,class_name\n1,gland\n2,stroma\n")
    assert len(import_labels(folder_store, table).notes) == 1
    write("classes.csv", "number,name\n1,stroma\n")
    assert len(import_labels(folder_store, table).notes) == 1
    write("classes.csv", "")
    notes = import_labels(folder_store, table).notes
    assert notes[0].startswith("classes.csv cannot be read as a table: it has no rows")


WINDOWS = (
    "filename,split,x,y,size,has_gland,has_stroma\n"
    "a.png,val,32,0,48,1,1\n"
    "a.png,val,0,0,48,1,0\n"
    "b.png,train,16,48,48,0,\n"
)


def test_windows_replace_whole_images(folder_store: ProjectStore, write: Write) -> None:
    report = import_labels(folder_store, write("patches.csv", WINDOWS))
    assert (report.images, report.tiles, report.labels) == (2, 3, 5)
    assert report.notes[1] == "1 image without rows became unlabeled windows."
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


def test_windows_that_are_tiles_already_are_labels(
    folder_store: ProjectStore, write: Write
) -> None:
    table = write("patches.csv", WINDOWS)
    import_labels(folder_store, table)
    before = folder_store.tiles()
    again = import_labels(folder_store, table)
    assert (again.tiles, again.labels, again.overturned) == (3, 5, 0)
    other = WINDOWS.replace("a.png,val,32,0,48,1,1", "a.png,val,32,0,48,0,1")
    assert other != WINDOWS
    kept = import_labels(folder_store, write("other.csv", other), keep=True)
    assert (kept.labels, kept.kept) == (0, 1)
    assert labels_of(folder_store) == before.labels.tolist()
    changed = import_labels(folder_store, write("other.csv", other))
    assert changed.overturned == 1
    assert "1 known label changed to the opposite" in changed.notes[0]
    after = folder_store.tiles()
    assert after.ids.tolist() == before.ids.tolist()
    assert after.labels[1].tolist() == [0, 1]
    assert folder_store.sources()[0].plan == TilingPlan(48, 48)


def test_images_without_a_row_keep_their_windows(
    folder_store: ProjectStore, write: Write
) -> None:
    import_labels(folder_store, write("patches.csv", WINDOWS))
    before = folder_store.tiles()
    head = "filename,x,y,size,has_gland\n"
    # a.png has such a window; c.png gets another one, and smaller.
    rows = "a.png,0,0,48,0\nc.png,0,0,32,1\n"
    report = import_labels(folder_store, write("more.csv", head + rows))
    assert report.labels == 2
    assert not any("became unlabeled" in note for note in report.notes)
    tiles = folder_store.tiles()
    assert tiles.ids[:3].tolist() == before.ids[:3].tolist()
    assert tiles.labels.tolist() == [[0, 0], [1, 1], [0, -1], [1, -1]]
    assert tiles.boxes[3].tolist() == [0, 0, 32, 32]
    assert folder_store.sources()[0].plan == TilingPlan(48, 48)
    # Windows that nobody has labeled are cut anew where they are larger.
    folder_store.undo()
    rows = "a.png,0,0,32,1\n"
    report = import_labels(folder_store, write("m.csv", head + rows), replace=True)
    assert "1 image without rows became unlabeled windows." in report.notes
    tiles = folder_store.tiles()
    assert sorted(tiles.image_ids.tolist()) == [1, 2] + [3] * 9
    assert tiles.labels[tiles.image_ids == 2].tolist() == [[0, -1]]


def test_windows_do_not_hide_labels(folder_store: ProjectStore, write: Write) -> None:
    table = write("patches.csv", WINDOWS)
    folder_store.set_reviews(np.array([3]), Review.ACCEPTED)
    with pytest.raises(ProjectError, match=r"masks of 1 image, such as c\.png"):
        import_labels(folder_store, table)
    assert import_labels(folder_store, table, replace=True).tiles == 3
    again = import_labels(folder_store, table, replace=True)
    assert again.overturned == 5
    assert again.notes[0].startswith("Windows replaced 5 known labels")
    folder_store.undo()
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
        ("a.png,val,0,0,0,1,0\n", r"windows without a size \(line 2\)"),
        ("a.png,val,0,0,,1,0\n", r"windows without a size \(line 2\)"),
        ("b.png,val,0,0,8,1,0\na.png,val,,0,48,1,0\n", r"without x and y \(line 3\)"),
        ("b.png,val,0,0,8,1,0\na.png,val,,,48,1,0\n", r"without x and y \(line 3\)"),
        ("a.png,val,-1,0,48,1,0\n", r"wrong numbers \(line 2: x is '-1'\)"),
        ("a.png,val,nan,0,48,1,0\n", r"wrong numbers \(line 2: x is 'nan'\)"),
        ("a.png,val,0,inf,48,1,0\n", r"wrong numbers \(line 2: y is 'inf'\)"),
        ("a.png,val,0,1e3,48,1,0\n", r"wrong numbers \(line 2: y is '1e3'\)"),
        ("a.png,val,0,1_0,48,1,0\n", r"wrong numbers \(line 2: y is '1_0'\)"),
        ("a.png,val,0,٣,48,1,0\n", r"wrong numbers \(line 2: y is '٣'\)"),
        (f"a.png,val,0,{'9' * 5000},8,1,0\n", r"wrong numbers \(line 2: y is '9+\.{3}"),
        ("a.png,val,0,999999999,8,1,0\n", "windows outside their image"),
        ("a.png,val,0,0,999999999,1,0\n", "windows outside their image"),
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
    with pytest.raises(ProjectError, match="no columns x and y"):
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
    with pytest.raises(ProjectError, match="Choose the table to import"):
        import_labels(folder_store, folder)


TABLES = [
    "filename,split,is_gland,is_stroma,group,width\na.png,train,1,0,g,96\nb,val,,1,h,\n",
    "file;x;y;size;has_gland\na.png;0;0;48;1\na.png;48;0;48;0\n",
    'file_name\tlabels\na.png\tgland;stroma\n"c.png"\t"gland"\n',
    '{"file_name": "a.png", "labels": ["gland", "stroma"], "split": null}\n',
]
PIECES = st.sampled_from(
    [
        *(
            "\0",
            "\ud800",
            '"',
            ",",
            ";",
            "\t",
            "\n",
            "\r",
            "-1",
            "nan",
            "1e308",
            "9" * 30,
        ),
        *("é", "e\u0301", "is_", "is_gland", "labels", "x", "{", "}", "[" * 2000, ".."),
        *("/", "\\", "C:\\", "\u2028", "\x1c", "_", "\\ud800", "a" * 140_000, "null"),
    ]
)
EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 3), PIECES), min_size=1, max_size=6
)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.sampled_from(TABLES), EDITS, st.sampled_from(["utf-8", "utf-16", "cp1252"]))
def test_any_table_is_imported_or_refused(
    folder_store: ProjectStore,
    tmp_path: Path,
    text: str,
    edits: list[tuple[float, int, str]],
    encoding: str,
) -> None:
    for place, removed, piece in edits:
        at = int(place * len(text))
        text = text[:at] + piece + text[at + removed :]
    path = tmp_path / ("t.jsonl" if text[:1] == "{" else "t.csv")
    errors = "replace" if encoding == "cp1252" else "surrogatepass"
    path.write_bytes(text.encode(encoding, errors))
    revision, problem = folder_store.revision, ""
    try:
        import_labels(folder_store, path)
    except ProjectError as error:
        problem = str(error)
    assert problem.isprintable()
    if problem:
        assert folder_store.revision == revision
    else:
        folder_store.undo()
