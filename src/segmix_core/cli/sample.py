"""The command that writes the synthetic slide and its mask: sample."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from segmix_core.cli.console import Console
from segmix_core.cli.options import Options, takes
from segmix_core.disk_errors import reason_of
from segmix_core.errors import ProjectError
from segmix_core.runs.child import EXIT_COMPLETED

SIZE_PX = 3072


@dataclass(frozen=True, slots=True)
class SampleFiles:
    """Paths of the slide and its mask in a folder."""

    folder: Path

    @property
    def slide(self) -> Path:
        """The slide."""
        return self.folder / "sample.tif"

    @property
    def mask(self) -> Path:
        """The mask: class indices at the slide's full resolution."""
        return self.folder / "sample_mask.tif"

    @property
    def are_there(self) -> bool:
        """Whether both files exist."""
        return self.slide.exists() and self.mask.exists()


@dataclass(frozen=True, kw_only=True)
class SampleOptions(Options):
    """Options of ``sample``."""

    folder: Annotated[
        Path, typer.Argument(help="Folder for the two files.", show_default=".")
    ] = Path()
    size: Annotated[
        int, typer.Option(min=512, help="Edge of the slide, in pixels.")
    ] = SIZE_PX
    seed: Annotated[int, typer.Option(min=0, help="Seed of the slide.")] = 0


@takes(SampleOptions)
def sample(options: SampleOptions, console: Console) -> int:
    """Write a synthetic H&E slide and its exact mask, to try SegMix."""
    from segmix_core.sample.layout import CLASS_NAMES

    files = SampleFiles(options.folder)
    for path in (files.slide, files.mask):
        if path.exists():
            raise ProjectError(
                f"{path} already exists.", "Delete it, or choose another folder."
            )
    write_sample(files, options.size, options.seed, console)
    console.say(f"Wrote {files.slide} and {files.mask}.", "green")
    console.say(f"Its classes are {', '.join(CLASS_NAMES)}.")
    console.result(
        {
            "slide": str(files.slide),
            "mask": str(files.mask),
            "classes": list(CLASS_NAMES),
        }
    )
    return EXIT_COMPLETED


def write_sample(files: SampleFiles, size: int, seed: int, console: Console) -> None:
    """Write slide and mask.

    Raises
    ------
    ProjectError
        If the folder cannot be written.
    """
    from segmix_core.sample.slide_file import write_sample_slide

    try:
        files.folder.mkdir(parents=True, exist_ok=True)
        with waiting(console, "sample"):
            write_sample_slide(files.slide, files.mask, size=size, seed=seed)
    except OSError as error:
        raise ProjectError(
            f"{files.folder} cannot be written to ({reason_of(error)}).",
            "Choose a writable folder on a disk with free space.",
        ) from error


@contextmanager
def waiting(console: Console, title: str) -> Iterator[None]:
    """Show a progress bar for work of unknown length."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console.out) as progress:
        task = progress.add_task(title, total=None)
        yield
        progress.update(task, total=1, completed=1)
