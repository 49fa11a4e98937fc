"""Small images, a session, and an executor that does not wait."""

import gc
import os
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from PIL import Image

from napari_segmix.session import Session
from segmix_core.runs import launch
from tests.core.slides.crashing import save_crashing_slide
from tests.plugin.runs_of_pages import STAGES, wait

os.environ["NAPARI_ENSURE_PLUGIN_MAIN_THREAD"] = "1"

TILE_PX = 64
CLASS_NAMES = ("gland", "stroma", "lymphoid")


class InlineTask:
    """Work that was done before it could be stopped."""

    def quit(self) -> None:
        """Nothing is left to stop."""


class InlineExecutor:
    """Does the work at once, in order."""

    def submit(
        self,
        function: Callable[[], Any],
        *,
        on_done: Callable[[Any], None] | None = None,
        on_error: Callable[[BaseException], None] | None = None,
        on_yield: Callable[[Any], None] | None = None,
    ) -> InlineTask:
        try:
            result = function()
            if isinstance(result, Generator):
                result = self._drain(result, on_yield)
        except Exception as error:
            if on_error is None:
                raise
            on_error(error)
        else:
            if on_done is not None:
                on_done(result)
        return InlineTask()

    def _drain(self, work: Generator[Any, None, Any], on_yield: Any) -> Any:
        while True:
            try:
                value = next(work)
            except StopIteration as end:
                return end.value
            if on_yield is not None:
                on_yield(value)

    def close(self) -> None:
        """Nothing runs on."""


def pink(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return an image (height, width, 3) that counts as tissue."""
    generator = np.random.default_rng(seed)
    noise = generator.integers(-20, 20, (height, width, 3))
    return np.clip(np.array([190, 100, 160]) + noise, 0, 255).astype(np.uint8)


@pytest.fixture
def slide_file(tmp_path: Path) -> Path:
    """A slide of 4 x 5 tiles at 0.5 µm, glass in the left column of tiles."""
    image = pink(4 * TILE_PX, 5 * TILE_PX)
    image[:, :TILE_PX] = 243
    path = tmp_path / "slide.tif"
    tifffile.imwrite(
        path,
        image,
        photometric="rgb",
        tile=(64, 64),
        resolution=(20000, 20000),
        resolutionunit="CENTIMETER",
    )
    return path


@pytest.fixture
def bare_slide(tmp_path: Path) -> Path:
    """A slide that does not say its pixel size."""
    path = tmp_path / "bare.tif"
    tifffile.imwrite(path, pink(200, 200), photometric="rgb", tile=(64, 64))
    return path


@pytest.fixture
def crashing_slide(tmp_path: Path) -> Path:
    """A slide that ends the process that opens it."""
    return save_crashing_slide(tmp_path / "crash.svs")


@pytest.fixture
def tile_folder(tmp_path: Path) -> Path:
    """Seven tile images, one of them smaller."""
    folder = tmp_path / "tiles"
    folder.mkdir()
    for number in range(7):
        height = 32 if number == 3 else 48
        Image.fromarray(pink(height, 48, number)).save(folder / f"tile{number}.png")
    return folder


@pytest.fixture
def session(qtbot: Any) -> Iterator[Session]:
    """A session whose viewer has no window."""
    session = Session(ViewerModel(), InlineExecutor())
    yield session
    session.close()


@pytest.fixture
def project(session: Session, tmp_path: Path) -> Session:
    """The session with a new project of three classes."""
    assert session.actions.projects.create(tmp_path / "p.segmix", CLASS_NAMES)
    return session


@pytest.fixture
def slide_session(project: Session, slide_file: Path) -> Session:
    """The session with a slide shown: 4 x 4 tiles of tissue, columns 1..4."""
    project.actions.sources.add([slide_file], tile_px=TILE_PX, asks_mpp=False)
    assert project.canvas.view is not None
    return project


@pytest.fixture
def messages(session: Session) -> list[tuple[str, str]]:
    """What the session says: (sentence, level), as it says it."""
    said: list[tuple[str, str]] = []
    session.model.notices.message.connect(
        lambda text, level: said.append((text, level))
    )
    return said


@pytest.fixture
def jobs(slide_session, qtbot):
    """The session of a slide; jobs are the small stages of the tests."""
    control = slide_session.actions.runs
    control._launcher = lambda folder: launch(
        folder, command=[sys.executable, str(STAGES), str(folder.path)]
    )
    yield slide_session
    control.kill()
    control.detach()
    wait(qtbot, lambda: not control.is_following)
    # Widgets in reference cycles must not be collected by a thread of a later test.
    gc.collect()


@pytest.fixture
def show(qtbot, jobs):
    def make(kind):
        page = kind(jobs.model, jobs.actions)
        qtbot.addWidget(page)
        page.show()
        return page

    return make
