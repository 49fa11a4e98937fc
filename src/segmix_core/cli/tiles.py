"""The command that lists tiles in a table for ``import-labels``: tiles."""

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segmix_core.cli.console import Console
from segmix_core.cli.naming import image_ids
from segmix_core.cli.options import ProjectOptions, takes
from segmix_core.disk_errors import reason_of
from segmix_core.errors import ProjectError
from segmix_core.files import write_atomically
from segmix_core.runs.child import EXIT_COMPLETED

if TYPE_CHECKING:
    from segmix_core.project.records import ImageRecord
    from segmix_core.project.store import ProjectStore

_UNKNOWN = -1


@dataclass(frozen=True, kw_only=True)
class TilesOptions(ProjectOptions):
    """Options of ``tiles``."""

    slides: Annotated[
        list[str] | None,
        typer.Argument(help="Names or paths of images of the project; default: all."),
    ] = None
    save: Annotated[
        Path | None, typer.Option(help="Write the list to this CSV file.")
    ] = None


@takes(TilesOptions)
def tiles(options: TilesOptions, console: Console) -> int:
    """List tiles with their boxes and labels, as CSV.

    x, y, width and height are pixels of the image at full resolution; x and y are the
    tile's upper left corner. is_CLASS is 1 present, 0 absent, blank unknown. Fill it in
    and import it with import-labels.
    """
    from segmix_core.project.store import ProjectStore

    with ProjectStore.open(options.project) as store:
        classes = [entry.name for entry in store.classes()]
        rows = _rows(store, options.slides)
    if options.save is not None:
        _save(options.save, _csv(rows, classes))
        console.say(f"Wrote {len(rows)} tiles to {options.save}.", "green")
    elif not console.as_json:
        typer.echo(_csv(rows, classes), nl=False)
    console.result({"classes": classes, "tiles": rows})
    return EXIT_COMPLETED


def _rows(store: "ProjectStore", slides: Sequence[str] | None) -> list[dict[str, Any]]:
    images = {image.id: image for image in store.images()}
    names = _names(list(images.values()))
    wanted = {number for name in slides or () for number in image_ids(store, name)}
    table = store.tiles()
    rows = []
    for index, (number, image_id) in enumerate(
        zip(table.ids.tolist(), table.image_ids.tolist(), strict=True)
    ):
        if slides and image_id not in wanted:
            continue
        box = table.box(index)
        rows.append(
            {
                "tile": number,
                "filename": names[image_id],
                "x": box.x,
                "y": box.y,
                "width": box.width,
                "height": box.height,
                "labels": table.labels[index].tolist(),
            }
        )
    return rows


def _names(images: Sequence["ImageRecord"]) -> dict[int, str]:
    """Return the name of each image: its file name, or its path if that is not unique.

    Names that differ only in case or suffix count as equal.
    """
    count = Counter(image.path.stem.lower() for image in images)
    return {
        image.id: image.path.name
        if count[image.path.stem.lower()] == 1
        else image.path.as_posix()
        for image in images
    }


def _csv(rows: Sequence[dict[str, Any]], classes: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    places = ["filename", "x", "y", "width", "height"]
    writer.writerow([*places, *(f"is_{name}" for name in classes)])
    for row in rows:
        states = ("" if state == _UNKNOWN else state for state in row["labels"])
        writer.writerow([*(row[name] for name in places), *states])
    return text.getvalue()


def _save(path: Path, text: str) -> None:
    if path.exists():
        raise ProjectError(
            f"{path} already exists.", "Delete it, or choose another name."
        )
    content = text.encode("utf-8", "surrogateescape")
    try:
        write_atomically(path, lambda file: file.write(content))
    except OSError as error:
        raise ProjectError(
            f"{path} cannot be written ({reason_of(error)}).",
            "Choose a writable folder on a disk with free space.",
        ) from error
