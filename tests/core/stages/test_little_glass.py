import numpy as np
import pytest
from PIL import Image

from segmix_core.data.samples import TileSamples
from segmix_core.data.tile_reader import TileReader
from segmix_core.events import Warned
from segmix_core.inference.mask_rules import warn_of_little_glass
from segmix_core.intake import add_paths
from segmix_core.project.store import ProjectStore
from segmix_core.settings import PseudoMaskSettings

GLASS, CREAM = (243, 242, 244), (240, 232, 205)


@pytest.fixture
def messages(tmp_path):
    """Return the warnings about a folder of tiles with a strip of ``glass``."""

    def warn(glass, rows, background="glass", lost=0):
        folder = tmp_path / "tiles"
        folder.mkdir()
        rng = np.random.default_rng(0)
        for number in range(5):
            pixels = rng.normal((200, 120, 170), 3, (64, 64, 3)).clip(0, 255)
            pixels[:rows] = glass
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
        with ProjectStore.create(tmp_path / "p.segmix", ["a", "b"]) as store:
            add_paths(store, [folder])
            images, tiles = store.images(), store.tiles()
        for image in images[:lost]:
            image.path.unlink()
        events = []
        settings = PseudoMaskSettings(background=background)
        with TileReader(images, cache_bytes=0) as reader:
            warn_of_little_glass(settings, TileSamples(tiles, reader), events.append)
            none = TileSamples(tiles.take(tiles.ids < 0), reader)
            warn_of_little_glass(settings, none, None)
        return [event.message for event in events if isinstance(event, Warned)]

    return warn


@pytest.mark.parametrize(("glass", "rows"), [(GLASS, 0), (CREAM, 30), ((150,) * 3, 30)])
def test_tiles_without_white_pixels_are_told_of(messages, glass, rows):
    (message,) = messages(glass, rows)
    assert message.startswith("Only 0 % of the pixels of 5 tiles are glass")
    assert "score" in message


def test_tiles_with_glass_are_fine(messages):
    assert messages(GLASS, 4) == []


@pytest.mark.parametrize("background", ["none", "score"])
def test_another_background_needs_no_glass(messages, background):
    assert messages(GLASS, 0, background) == []


@pytest.mark.parametrize("lost", [2, 5])
def test_unreadable_tiles_are_not_counted(messages, lost):
    assert len(messages(GLASS, 0, lost=lost)) == (lost < 5)


def _warnings(run):
    """Return the warnings but the one that files have changed."""
    found = [e.message for e in run.events()[0] if isinstance(e, Warned)]
    return [text for text in found if "changed on disk" not in text]


def _paint_over_glass(workshop):
    with workshop.store() as store:
        paths = [image.path for image in store.images()]
    for path in paths:
        pixels = np.array(Image.open(path))
        pixels[pixels.min(axis=2) > 200] = (222, 150, 190)
        Image.fromarray(pixels).save(path)


@pytest.mark.parametrize(
    ("stage", "changes"),
    [
        ("pseudo-masks", {}),
        ("train", {"train.method": "segmix-plus", "train.epochs": 2}),
    ],
)
def test_stages_that_make_masks_warn(folder, stage, changes):
    assert not _warnings(folder.run(stage, changes=changes))
    _paint_over_glass(folder)
    (message,) = _warnings(folder.run(stage, changes=changes))
    assert "tiles are glass" in message
    score = changes | {"pseudo_masks.background": "score"}
    assert not _warnings(folder.run(stage, changes=score))


def test_a_training_without_masks_does_not_warn(folder):
    _paint_over_glass(folder)
    assert not _warnings(folder.run("train"))
