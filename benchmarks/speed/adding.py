"""Adding many files, opened in a process that may crash, or in the one that asks."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, nullcontext
from functools import partial
from itertools import count
from pathlib import Path
from typing import Self
from unittest.mock import patch

import numpy as np
import tifffile
from PIL import Image

from benchmarks.speed.comparison import Table, in_turns, milliseconds, ratio
from segmix_core.errors import SlideError
from segmix_core.geometry import Box
from segmix_core.intake import add_paths
from segmix_core.intake.question import slides_without_mpp
from segmix_core.project.store import ProjectStore
from segmix_core.slides.first_look import (
    FirstLookPool,
    ImageHeader,
    Look,
    RememberingLook,
)
from segmix_core.slides.tissue import FoundTissue, find_tissue

# benchmarks.speed.report knows it as well, but loads torch, which no command here does.
ROOT = Path(__file__).parents[2]
FILES, EDGE, TURNS = 1000, 224, 7
OWN, PEER = "separate process", "same process"
LOOK = "segmix_core.intake.add.FirstLook"
"""What opens files when a source is added."""
COMMAND = "from segmix_core.cli.app import main; main()"
PEER_COMMAND = f"from benchmarks.speed.adding import open_here; open_here(); {COMMAND}"


class Here:
    """Looks at files in this process, as before there was another one."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def headers(self, paths: Sequence[Path]) -> Iterator[ImageHeader | SlideError]:
        """Yield the header of each file."""
        from segmix_core.slides.open_slide import open_slide

        for path in paths:
            with closing(open_slide(path)) as slide:
                shape = slide.level_shapes[0]
                yield ImageHeader(path, *shape, slide.mpp_yx, slide.bounds, slide.notes)

    def damages(self, paths: Sequence[Path]) -> Iterator[SlideError | None]:
        """Yield why pixels cannot be read."""
        from segmix_core.slides.open_slide import open_slide

        for path in paths:
            with closing(open_slide(path)) as slide:
                for level, (height, width) in enumerate(slide.level_shapes):
                    slide.read_level(level, Box(height - 1, width - 1, 1, 1))
            yield None

    def tissue(self, path: Path, smallest_edge: int) -> FoundTissue:
        """Return where a slide has tissue."""
        from segmix_core.slides.open_slide import open_slide

        with closing(open_slide(path)) as slide:
            return find_tissue(slide, smallest_edge)


def open_here() -> None:
    """Let files be opened in this process."""
    patch(LOOK, Here).start()


def tables() -> list[Table]:
    """Return the table."""
    rows = []
    with (
        tempfile.TemporaryDirectory() as name,
        closing(FirstLookPool()) as pool,
    ):
        pool.warm()
        for suffix in (".png", ".tif"):
            folder = _write_files(Path(name), suffix)
            for what, ways in (
                ("`segmix add`, start to finish", _commands(folder)),
                ("Add in the dock, the folder", _dock(folder, [folder], pool)),
                (
                    "Add in the dock, file by file",
                    _dock(folder, sorted(folder.iterdir()), pool),
                ),
                ("`add_paths` without a ready process", _calls(folder)),
            ):
                seconds = in_turns(ways, TURNS)
                rows.append(
                    (
                        f"{FILES} {suffix[1:].upper()}",
                        what,
                        milliseconds(seconds[OWN]),
                        milliseconds(seconds[PEER]),
                        ratio(seconds[OWN], seconds[PEER], digits=2),
                    )
                )
    text = (
        f"{FILES} tile images of {EDGE} px are added as one source. Their files are "
        "opened in a separate process, in case one crashes it "
        "(`slides/first_look/`). The peer is the same code opening them in its own "
        "process. Target: `segmix add` and the dock take at most 1.2 times as long. "
        "The dock first asks for missing pixel sizes, then adds; its process has been "
        "ready since the project was opened. A program that calls `add_paths` without "
        "such a process also spends the time to start one, whatever the number of "
        "files. Measured by `python -m benchmarks speed adding`."
    )
    header = (
        "files",
        "measured",
        "separate process, ms",
        "same process, ms",
        "times as long",
    )
    return [Table("Adding files", text, header, rows)]


def _write_files(place: Path, suffix: str) -> Path:
    folder = place / f"tiles{suffix}"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(FILES):
        pixels = generator.integers(0, 255, (EDGE // 4, EDGE // 4, 3), np.uint8)
        pixels = pixels.repeat(4, axis=0).repeat(4, axis=1)
        path = folder / f"{number}{suffix}"
        if suffix == ".tif":
            tifffile.imwrite(path, pixels, photometric="rgb", compression="deflate")
        else:
            Image.fromarray(pixels).save(path)
    return folder


def _commands(folder: Path) -> dict[str, Callable[[], object]]:
    numbers = count()

    def run(code: str) -> None:
        project = folder.with_name(f"command {next(numbers)}.segmix")
        ProjectStore.create(project, ["a"]).close()
        arguments = [sys.executable, "-c", code, "add", str(project), str(folder)]
        subprocess.run(arguments, cwd=ROOT, check=True, capture_output=True)
        shutil.rmtree(project)

    return {OWN: partial(run, COMMAND), PEER: partial(run, PEER_COMMAND)}


def _dock(
    folder: Path, chosen: Sequence[Path], pool: FirstLookPool
) -> dict[str, Callable[[], object]]:
    """Return what the dock does with what was chosen: ask, then add."""

    def run(look: RememberingLook) -> None:
        slides_without_mpp(look, chosen, None)
        _add(folder, chosen, look)

    return {
        OWN: lambda: run(RememberingLook(pool.borrow)),
        PEER: lambda: run(RememberingLook(lambda: nullcontext(Here()))),
    }


def _calls(folder: Path) -> dict[str, Callable[[], object]]:
    return {
        OWN: lambda: _add(folder, [folder], None),
        PEER: lambda: _add(folder, [folder], Here()),
    }


def _add(folder: Path, chosen: Sequence[Path], look: Look | None) -> None:
    project = folder.with_name("call.segmix")
    with ProjectStore.create(project, ["a"]) as store:
        add_paths(store, chosen, look=look)
    shutil.rmtree(project)
