"""Commands on a project: new, add, set-mpp, tissue, import-labels, relocate."""

from dataclasses import dataclass
from enum import StrEnum, unique
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from segmix_core.cli.console import Console
from segmix_core.cli.naming import find_source
from segmix_core.cli.options import ProjectOptions, takes
from segmix_core.cli.status import describe_source
from segmix_core.runs.child import EXIT_COMPLETED


@dataclass(frozen=True, kw_only=True)
class NewOptions(ProjectOptions):
    """Options of ``new``."""

    classes: Annotated[
        str, typer.Option(help="Names of the classes, separated by commas.")
    ]
    colors: Annotated[
        str | None, typer.Option(help="Their colors, such as '#e69f00,#56b4e9'.")
    ] = None


@takes(NewOptions)
def new(options: NewOptions, console: Console) -> int:
    """Create a project with its classes."""
    from segmix_core.project.store import ProjectStore

    names = _split(options.classes)
    colors = _split(options.colors) if options.colors else None
    with ProjectStore.create(options.project, names, _matching(names, colors)) as store:
        classes = store.classes()
    console.say(f"Created {options.project} with {len(classes)} classes.", "green")
    console.result(
        {
            "project": str(options.project.absolute()),
            "classes": [
                {"index": entry.index, "name": entry.name, "color": entry.color}
                for entry in classes
            ],
        }
    )
    return EXIT_COMPLETED


@dataclass(frozen=True, kw_only=True)
class AddOptions(ProjectOptions):
    """Options of ``add``."""

    paths: Annotated[
        list[Path], typer.Argument(help="Slides, or folders of tile images.")
    ]
    tile_px: Annotated[
        int | None, typer.Option(help="Edge of a tile, in working pixels.")
    ] = None
    stride_px: Annotated[
        int | None, typer.Option(help="Distance between tiles; default: the tile edge.")
    ] = None
    mpp: Annotated[
        float | None, typer.Option(help="Resample slides to this many µm per pixel.")
    ] = None
    slide_mpp: Annotated[
        float | None,
        typer.Option(
            help="µm per pixel of the images; overrides the size in the files."
        ),
    ] = None
    min_tissue: Annotated[
        float,
        typer.Option(help="Smallest share of tissue in a tile of a slide (0..1)."),
    ] = 0.25


@takes(AddOptions)
def add(options: AddOptions, console: Console) -> int:
    """Add slides or folders of tile images to a project."""
    from segmix_core.intake import add_paths
    from segmix_core.project.store import ProjectStore

    with ProjectStore.open(options.project) as store:
        report = add_paths(
            store,
            options.paths,
            tile_px=options.tile_px,
            stride_px=options.stride_px,
            mpp=options.mpp,
            slide_mpp=options.slide_mpp,
            min_tissue=options.min_tissue,
        )
        sources = [describe_source(store, entry.id) for entry in report.sources]
    for entry in sources:
        console.say(
            f"Added {entry['name']}: {entry['images']} images, {entry['tiles']} tiles.",
            "green",
        )
    for note in report.notes:
        console.warn(note)
    console.result(
        {
            "sources": sources,
            "left_out": [
                {"path": str(entry.path), "reason": str(entry.error)}
                for entry in report.left_out
            ],
            "notes": list(report.notes),
        }
    )
    return EXIT_COMPLETED


@dataclass(frozen=True, kw_only=True)
class SetMppOptions(ProjectOptions):
    """Options of ``set-mpp``."""

    source: Annotated[str, typer.Argument(help="Name or id of a source; see status.")]
    mpp: Annotated[float, typer.Argument(help="µm per pixel at full resolution.")]
    mpp_x: Annotated[
        float | None,
        typer.Option(help="Horizontal µm per pixel, if pixels are not square."),
    ] = None


@takes(SetMppOptions)
def set_mpp(options: SetMppOptions, console: Console) -> int:
    """Set the pixel size of a slide or folder. Can be undone."""
    from segmix_core.project.store import ProjectStore

    with ProjectStore.open(options.project) as store:
        source = find_source(store, options.source)
        images = [image.id for image in store.images(source.id)]
        store.set_mpp(np.array(images, np.int64), options.mpp, options.mpp_x)
    sizes = (options.mpp, options.mpp_x or options.mpp)
    shown = " x ".join(f"{size:g}" for size in dict.fromkeys(sizes))
    console.say(f"The pixel size of {source.name} is now {shown} µm.", "green")
    console.say(
        "Sizes, scale bars and exports are updated; tiles and masks do not change. To "
        "cut a slide at another resolution, add it to a new project."
    )
    console.result({"source": source.id, "mpp_y": sizes[0], "mpp_x": sizes[1]})
    return EXIT_COMPLETED


@unique
class Kind(StrEnum):
    """Layout of a label file."""

    AUTO = "auto"
    TABLE = "table"
    WINDOWS = "windows"
    BRACKETS = "brackets"


@dataclass(frozen=True, kw_only=True)
class ImportOptions(ProjectOptions):
    """Options of ``import-labels``."""

    file: Annotated[Path, typer.Argument(help="A CSV file, or a folder.")]
    kind: Annotated[
        Kind, typer.Option(help="File layout; auto detects it from the columns.")
    ] = Kind.AUTO
    preset: Annotated[
        str | None,
        typer.Option(help="Data set whose file names have digits in brackets."),
    ] = None
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace windows that have labels.")
    ] = False
    keep: Annotated[
        bool,
        typer.Option("--keep", help="Keep existing labels; set only unknown ones."),
    ] = False


@takes(ImportOptions)
def import_labels(options: ImportOptions, console: Console) -> int:
    """Read tile labels from a CSV file or from file names."""
    from segmix_core.project.labels_import import import_labels as read_labels
    from segmix_core.project.store import ProjectStore

    with ProjectStore.open(options.project) as store:
        report = read_labels(
            store,
            options.file,
            kind=options.kind.value,
            preset=options.preset,
            replace=options.replace,
            keep=options.keep,
        )
    console.say(
        f"Read {report.labels} labels: {report.tiles} tiles, {report.images} images.",
        "green",
    )
    for note in report.notes:
        console.warn(note)
    console.result(
        {
            "images": report.images,
            "tiles": report.tiles,
            "labels": report.labels,
            "overturned": report.overturned,
            "kept": report.kept,
            "notes": list(report.notes),
        }
    )
    return EXIT_COMPLETED


@dataclass(frozen=True, kw_only=True)
class RelocateOptions(ProjectOptions):
    """Options of ``relocate``."""

    source: Annotated[str, typer.Argument(help="Name or id of a source; see status.")]
    path: Annotated[Path, typer.Argument(help="Current path of the slide or folder.")]


@takes(RelocateOptions)
def relocate(options: RelocateOptions, console: Console) -> int:
    """Set the new path of a slide or folder, or accept its changed files."""
    from segmix_core.intake import relocate_source
    from segmix_core.project.store import ProjectStore

    path = options.path.absolute()
    with ProjectStore.open(options.project) as store:
        source = find_source(store, options.source)
        notes = relocate_source(store, source.id, path)
    console.say(f"{source.name} is now at {options.path}.", "green")
    for note in notes:
        console.warn(note)
    console.result({"source": source.id, "path": str(path), "notes": list(notes)})
    return EXIT_COMPLETED


@dataclass(frozen=True, kw_only=True)
class TissueOptions(ProjectOptions):
    """Options of ``tissue``."""

    source: Annotated[str, typer.Argument(help="Name or id of a slide; see status.")]
    mask: Annotated[
        Path | None,
        typer.Option("--from", help="Read the tissue from an image: white on black."),
    ] = None
    save: Annotated[
        Path | None, typer.Option(help="Save the tissue as a PNG file.")
    ] = None
    reset: Annotated[
        bool,
        typer.Option(
            "--reset", help="Detect the tissue again and discard corrections."
        ),
    ] = False


@takes(TissueOptions)
def tissue(options: TissueOptions, console: Console) -> int:
    """Show, save or correct the tissue of a slide and update its tiles.

    Tiles that remain keep their labels. Removed tiles are hidden: they return with
    their labels if the area becomes tissue again, or by Undo in the dock.
    """
    from segmix_core.intake import tissue as tissues
    from segmix_core.project.store import ProjectStore

    if options.reset and options.mask is not None:
        raise typer.BadParameter("--from and --reset cannot be combined")
    with ProjectStore.open(options.project) as store:
        source = find_source(store, options.source)
        image = store.images(source.id)[0]
        if options.save is not None:
            tissues.check_save(store, options.save)
        change = None
        if options.reset:
            found = tissues.detect_tissue(store, image.id)
            change = tissues.set_tissue(store, image.id, found)
        elif options.mask is not None:
            like = tissues.read_tissue(store, image.id)
            given = tissues.load_tissue_png(options.mask, like)
            change = tissues.set_tissue(store, image.id, given)
        now = tissues.read_tissue(store, image.id)
        tiles = len(store.tiles(source.id))
    if options.save is not None:
        tissues.save_tissue_png(now, options.save)
        console.say(f"Wrote {options.save}.", "green")
    if change is not None:
        console.say(f"{change.description}.", "green")
    share = float(now.mask.mean())
    console.say(f"{source.name}: {100 * share:.3g} % tissue, {tiles} tiles.")
    console.result(
        {
            "source": source.id,
            "tiles": tiles,
            "share": share,
            "min_tissue": now.min_share,
            "um_per_pixel": None if image.mpp is None else image.mpp * now.downsample,
            "changed": change is not None,
        }
    )
    return EXIT_COMPLETED


def _split(names: str) -> list[str]:
    return [name.strip() for name in names.split(",")]


def _matching(names: list[str], colors: list[str] | None) -> list[str] | None:
    if colors is not None and len(colors) != len(names):
        raise typer.BadParameter(
            f"{len(colors)} colors for {len(names)} classes", param_hint="--colors"
        )
    return colors
