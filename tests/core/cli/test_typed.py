import shlex
import sys
from pathlib import Path

import pytest

from segmix_core.cli.typed import find_program, typed


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A Python environment in a folder with a space, with the program segmix."""
    folder = tmp_path / "my env" / "bin"
    folder.mkdir(parents=True)
    for name in ("python", "segmix"):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    return folder / "segmix"


@pytest.mark.skipif(sys.platform == "win32", reason="quotes of POSIX shells")
def test_a_printed_command_can_be_typed_anywhere(program, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.chdir(tmp_path)
    line = typed("segmix", "train", Path("it's [1].segmix"), "--resume", "a b")
    assert shlex.split(line) == [
        str(program), "train", str(tmp_path / "it's [1].segmix"), "--resume", "a b"
    ]  # fmt: skip


def test_an_activated_environment_needs_the_name_only(program, monkeypatch):
    monkeypatch.setenv("PATH", str(program.parent))
    assert typed("segmix", "doctor") == "segmix doctor"
    assert find_program("segmix") == program


def test_a_program_of_another_environment_is_not_meant(program, tmp_path, monkeypatch):
    other = tmp_path / "segmix"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shlex.split(typed("segmix", "doctor"))[0] == str(program)


def test_a_program_that_is_not_there(program):
    assert find_program("napari") is None
    assert typed("napari") == "napari"
