"""Files that end, stop or fill the process that opens them cost only themselves."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
import tifffile
from PIL import Image

from segmix_core.errors import JobError, SlideError
from segmix_core.slides.first_look import FirstLook, limits, worker
from segmix_core.slides.open_slide import open_slide
from segmix_core.slides.tissue import find_tissue
from tests.core.slides.crashing import save_crashing_slide

EDGE = 32


@pytest.fixture(scope="module")
def look():
    with FirstLook() as look:
        yield look


def save_image(path, size=(40, 30)):
    Image.new("RGB", size, (200, 60, 120)).save(path)
    return path


def test_it_sees_what_opening_the_file_shows(tmp_path, look):
    path = tmp_path / "a [1] ü.tif"
    image = np.full((300, 400, 3), 240, np.uint8)
    image[:150] = (222, 140, 180)
    resolution = {"resolution": (20000, 20000), "resolutionunit": 3}
    tifffile.imwrite(path, image, photometric="rgb", tile=(64, 64), **resolution)
    header = look.header(path)
    slide = open_slide(path)
    assert (header.height, header.width) == slide.level_shapes[0]
    assert (header.path, header.mpp, header.notes) == (path, slide.mpp, slide.notes)
    found, expected = look.tissue(path, EDGE), find_tissue(slide, EDGE)
    slide.close()
    np.testing.assert_array_equal(found.mask, expected.mask)
    assert found.downsample == expected.downsample
    assert 0 < found.mask.mean() < 1


def test_many_files_come_in_their_order(tmp_path, look):
    paths = [save_image(tmp_path / f"{n}.png", (n + 1, 7)) for n in range(150)]
    headers = list(look.headers(paths))
    assert [(h.path, h.width) for h in headers] == [
        (path, n + 1) for n, path in enumerate(paths)
    ]
    assert list(look.headers([])) == []


def test_an_unusable_file_has_the_error_of_its_reader(tmp_path, look):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"nothing")
    good = save_image(tmp_path / "good.png")
    first, second, third = look.headers([bad, good, tmp_path / "none.png"])
    with pytest.raises(SlideError) as found:
        open_slide(bad)
    assert isinstance(first, SlideError)
    assert (str(first), first.reason) == (str(found.value), found.value.reason)
    assert not isinstance(second, SlideError)
    assert isinstance(third, SlideError)


def test_a_file_that_crashes_its_library_is_named_and_the_others_go_on(tmp_path, look):
    crash = save_crashing_slide(tmp_path / "crash.svs")
    files = [save_image(tmp_path / f"{n}.png") for n in range(3)]
    answers = list(look.headers([files[0], crash, files[1], crash, files[2]]))
    assert [isinstance(answer, SlideError) for answer in answers] == [
        False,
        True,
        False,
        True,
        False,
    ]
    assert "crash.svs crashes the library that reads it" in str(answers[1])
    with pytest.raises(SlideError, match=r"crash\.svs crashes"):
        look.tissue(crash, EDGE)
    assert look.header(files[0]).width == 40


def test_a_file_may_only_take_so_long(tmp_path, look, monkeypatch):
    slow = save_image(tmp_path / "slow.png", (4000, 4000))
    monkeypatch.setattr(limits, "_SECONDS", 0.01)
    with pytest.raises(SlideError, match=r"slow\.png could not be read within 0"):
        look.tissue(slow, EDGE)
    monkeypatch.undo()
    assert look.tissue(slow, EDGE).mask.any()


@pytest.mark.parametrize("by_system", [True, False])
def test_a_file_may_only_take_so_much_memory(tmp_path, look, monkeypatch, by_system):
    if by_system and not limits.HAS_MEMORY_LIMIT:
        pytest.skip("this system has no limit of a process's memory")
    large = save_image(tmp_path / "large.png", (8000, 8000))
    monkeypatch.setattr(limits, "_MEMORY", 2**26)
    monkeypatch.setattr(worker, "_POLL_SECONDS", 0.01)
    monkeypatch.setattr(worker, "HAS_MEMORY_LIMIT", by_system)
    with pytest.raises(SlideError, match=r"large\.png needs more (than|memory)"):
        look.tissue(large, EDGE)
    monkeypatch.undo()
    assert look.header(large).width == 8000


def test_a_larger_file_may_take_more(tmp_path):
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(b"1")
    with large.open("wb") as file:
        file.truncate(10**8)
    few, many = limits.Limits.of(small), limits.Limits.of(large)
    assert many.seconds == pytest.approx(few.seconds + 20)
    assert many.memory > few.memory
    assert limits.Limits.of(tmp_path / "none").seconds == limits._SECONDS


def test_answers_that_nobody_fetched_are_not_given_to_others(tmp_path, look):
    paths = [save_image(tmp_path / f"{n}.png", (n + 1, 7)) for n in range(5)]
    answers = look.headers(paths)
    assert next(answers).width == 1
    answers.close()
    assert look.header(paths[4]).width == 5


def test_closing_ends_the_process(tmp_path):
    before = set(psutil.Process().children())
    with FirstLook() as look:
        look.header(save_image(tmp_path / "a.png"))
        assert len(set(psutil.Process().children()) - before) == 1
    assert set(psutil.Process().children()) - before == set()
    look.close()


@pytest.mark.parametrize("python", ["/nonexistent/python", "true"])
def test_a_process_that_cannot_start_is_no_fault_of_the_file(tmp_path, python):
    path = save_image(tmp_path / "a.png")
    with pytest.raises(JobError, match="cannot be started"), FirstLook(python) as look:
        look.header(path)


def test_a_process_that_never_answers_is_given_up(tmp_path, monkeypatch):
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\nexec sleep 60\n", encoding="utf-8")
    script.chmod(0o755)
    monkeypatch.setattr(worker, "_START_SECONDS", 0.3)
    with (
        FirstLook(script) as look,
        pytest.raises(JobError, match="no answer in 0 seconds"),
    ):
        look.header(save_image(tmp_path / "a.png"))


def test_an_application_without_python_says_so(monkeypatch):
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.raises(JobError, match="does not include Python"):
        FirstLook()
    with FirstLook(sys.executable):
        pass


CALLER = """
import sys
from pathlib import Path
from segmix_core.slides.first_look import FirstLook
look = FirstLook()
print(look.header(Path(sys.argv[1])).width, look._worker._process.pid, flush=True)
if len(sys.argv) > 2:
    look.tissue(Path(sys.argv[2]), 32)
"""


def test_it_works_where_the_main_module_cannot_be_imported_again(tmp_path):
    path = save_image(tmp_path / "a.png")
    found = subprocess.run(
        [sys.executable, "-", path], input=CALLER, capture_output=True, text=True
    )
    assert found.stdout.startswith("40 "), found.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="kills as POSIX does")
@pytest.mark.parametrize("is_busy", [True, False])
def test_it_ends_when_its_caller_is_killed(tmp_path, is_busy):
    files = [save_image(tmp_path / "a.png")]
    if is_busy:
        files.append(save_image(tmp_path / "slow.png", (8000, 8000)))
    caller = subprocess.Popen(
        [sys.executable, "-c", f"{CALLER}\ninput()", *files],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with caller:
        pid = int(caller.stdout.readline().split()[1])
        time.sleep(0.1)
        os.kill(caller.pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while psutil.pid_exists(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not psutil.pid_exists(pid)


def test_neither_torch_nor_a_window_is_loaded():
    code = (
        "import sys, segmix_core.slides.first_look, segmix_core.slides.open_slide,"
        "segmix_core.slides.tissue; print([m for m in ('torch', 'qtpy', 'napari') "
        "if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"
