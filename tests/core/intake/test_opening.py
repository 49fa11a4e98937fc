"""Files that changed are looked at before they are opened by this process."""

from dataclasses import replace

import pytest

from segmix_core.errors import SlideError
from segmix_core.intake import add_paths
from segmix_core.intake.opening import ImageOpener
from segmix_core.project.store import ProjectStore
from segmix_core.slides.first_look import FirstLook
from tests.core.intake.images import save_slide
from tests.core.slides.crashing import save_crashing_slide


class Lender:
    def __init__(self):
        self.count = 0

    def __call__(self):
        self.count += 1
        return FirstLook()


@pytest.fixture
def image(tmp_path):
    path = save_slide(tmp_path / "a.tif")
    with ProjectStore.create(tmp_path / "p.segmix", ["gland"]) as store:
        add_paths(store, [path], tile_px=64)
        return store.image(1)


def test_a_file_is_opened_at_once_while_it_is_as_it_was_added(image):
    lender = Lender()
    opener = ImageOpener(lender)
    assert opener.is_known(image)
    opener.open(image).close()
    image.path.touch()
    opener.open(image).close()
    assert lender.count == 0


def test_a_file_that_changed_is_looked_at_once(image):
    lender = Lender()
    opener = ImageOpener(lender)
    save_slide(image.path, mpp=0.7)
    assert not opener.is_known(image)
    for _ in range(2):
        with_mpp = opener.open(image)
        assert with_mpp.mpp == pytest.approx(0.7)
        with_mpp.close()
    assert lender.count == 1
    save_crashing_slide(image.path)
    assert not opener.is_known(image)
    for _ in range(2):
        with pytest.raises(SlideError, match=r"a\.tif (crashes|cannot|is)"):
            opener.open(image)
    assert (lender.count, opener.is_known(image)) == (2, True)


def test_an_image_without_fingerprint_is_looked_at(image):
    lender = Lender()
    opener = ImageOpener(lender)
    unknown = replace(image, fingerprint=None)
    assert not opener.is_known(unknown)
    opener.open(unknown).close()
    assert (lender.count, opener.is_known(unknown)) == (1, True)


def test_a_file_that_is_gone_is_not_looked_at(image):
    lender = Lender()
    image.path.unlink()
    with pytest.raises(SlideError, match="does not exist"):
        ImageOpener(lender).open(image)
    assert lender.count == 0
