"""A process for first looks is lent again, unless a file left something in it."""

import os
from contextlib import nullcontext

import psutil
import pytest
from PIL import Image

from segmix_core.errors import JobError, SlideError
from segmix_core.slides.first_look import FirstLook, FirstLookPool, RememberingLook
from tests.core.slides.crashing import save_crashing_slide


@pytest.fixture
def children():
    """Return the processes that were started since the test began."""
    before = psutil.Process().children()
    return lambda: [c for c in psutil.Process().children() if c not in before]


@pytest.fixture
def pool():
    pool = FirstLookPool()
    yield pool
    pool.close()


def save_image(path, size=(40, 30)):
    Image.new("RGB", size, (200, 60, 120)).save(path)
    return path


def pid(look):
    return look._worker._process.pid


def test_the_process_that_waits_is_lent_and_kept(tmp_path, pool, children):
    path = save_image(tmp_path / "a.png")
    pool.warm()
    (waiting,) = children()
    with pool.borrow() as look:
        assert pid(look) == waiting.pid
        with pool.borrow() as other:
            assert pid(other) != waiting.pid
        assert look.header(path).width == 40
    pool.close()
    assert children() == []


def test_a_process_that_failed_or_died_is_not_lent_again(tmp_path, pool):
    path, crash = (
        save_image(tmp_path / "a.png"),
        save_crashing_slide(tmp_path / "c.svs"),
    )
    with pool.borrow() as look:
        first = pid(look)
        _, answer = look.headers([path, crash])
        assert isinstance(answer, SlideError)
    with pool.borrow() as look:
        second = pid(look)
        assert second != first
        assert look.header(path).width == 40
    # Killed while it waits, e.g. because the machine has no memory left.
    os.kill(second, 9)
    psutil.Process(second).wait()
    with pool.borrow() as look:
        assert look.header(path).width == 40


def test_another_python_replaces_the_process(children):
    chosen = [None]
    pool = FirstLookPool(lambda: chosen[0])
    pool.warm()
    chosen[0] = "/nonexistent/python"
    with pytest.raises(JobError, match="cannot be started"), pool.borrow():
        pass
    assert children() == []
    pool.warm()
    pool.close()


def test_nothing_is_kept_after_the_end(pool, children):
    with pool.borrow():
        pool.close()
    pool.warm()
    assert children() == []


class Counting(FirstLook):
    asked = ()

    def headers(self, paths, **options):
        self.asked = [*self.asked, *paths]
        return super().headers(paths, **options)


def test_files_are_read_again_only_if_they_changed(tmp_path):
    good, bad = save_image(tmp_path / "a.png"), tmp_path / "b.png"
    bad.write_bytes(b"nothing")
    gone = tmp_path / "none.png"
    with Counting() as look:
        memory = RememberingLook(lambda: nullcontext(look))
        first = list(memory.headers([good, bad, gone]))
        assert look.asked == [good, bad, gone]
        again = list(memory.headers([gone, bad, good]))
        # A file that was not there may come any time.
        assert look.asked == [good, bad, gone, gone]
        assert again[1:] == [first[1], first[0]]
        assert list(memory.headers([bad, good])) == again[1:]
        save_image(bad, (50, 20))
        assert next(memory.headers([bad])).width == 50
        assert memory.tissue(good, 16).mask.shape == look.tissue(good, 16).mask.shape
