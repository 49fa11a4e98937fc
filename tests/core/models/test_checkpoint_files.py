import errno
import itertools
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from segmix_core.models import checkpoint
from segmix_core.models.checkpoint import load_checkpoint, save_checkpoint
from segmix_core.models.checkpoint_files import MANIFEST, write_manifest

FULL = OSError(errno.ENOSPC, "No space left on device")


def save(folder: Path, step: int) -> None:
    state = {"step": torch.tensor(step)}
    save_checkpoint(
        folder,
        module=state,
        arguments={},
        kind="x",
        class_names=(),
        step=step,
        training=state,
    )


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def fail_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, BaseException], None]:
    """Let the flush to disk after so many others raise an error."""

    def arm(writes: int, error: BaseException) -> None:
        flush, done = os.fsync, itertools.count()

        def fail_once(file: int) -> None:
            is_file = stat.S_ISREG(os.fstat(file).st_mode)
            if is_file and next(done) == writes:
                raise error
            flush(file)

        monkeypatch.setattr(os, "fsync", fail_once)

    return arm


@pytest.mark.parametrize("writes", [0, 1, 2])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), FULL], ids=["crash", "full"])
def test_a_crash_or_a_full_disk_while_saving_leaves_exactly_the_old_one(
    tmp_path: Path,
    fail_at: Callable[[int, BaseException], None],
    writes: int,
    error: BaseException,
) -> None:
    save(tmp_path, 1)
    before = names(tmp_path)
    for step in (2, 3, 4):
        fail_at(writes, error)
        with pytest.raises(type(error)):
            save(tmp_path, step)
    assert names(tmp_path) == before
    found = load_checkpoint(tmp_path, with_training=True)
    assert found.step == found.weights["step"] == found.training["step"] == 1


def test_a_first_checkpoint_that_does_not_fit_leaves_nothing(
    tmp_path: Path, fail_at: Callable[[int, BaseException], None]
) -> None:
    fail_at(1, FULL)
    with pytest.raises(OSError, match="No space left"):
        save(tmp_path, 1)
    assert names(tmp_path) == set()


def test_a_crash_after_the_manifest_keeps_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, 1)

    def crash_after(folder: Path, content: dict[str, object]) -> None:
        write_manifest(folder, content)
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "write_manifest", crash_after)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path, 2)
    assert load_checkpoint(tmp_path, with_training=True).step == 2
    assert len(names(tmp_path)) == 3


@pytest.mark.parametrize("fits", [True, False])
def test_what_a_killed_save_left_is_gone_after_the_next(
    tmp_path: Path, fail_at: Callable[[int, BaseException], None], fits: bool
) -> None:
    save(tmp_path, 1)
    ended = subprocess.run(
        [
            sys.executable,
            "-c",
            "from segmix_core.files import temporary_name; print(temporary_name())",
        ],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    left = {ended.stdout.strip(), "weights-0123.safetensors"}
    for name in left:
        (tmp_path / name).write_bytes(b"cut sho")
    if not fits:
        fail_at(0, FULL)
    with nullcontext() if fits else pytest.raises(OSError, match="No space left"):
        save(tmp_path, 2)
    assert not left & names(tmp_path)
    assert load_checkpoint(tmp_path).step == (2 if fits else 1)


def test_what_a_damaged_manifest_named_stays_until_there_is_another(
    tmp_path: Path, fail_at: Callable[[int, BaseException], None]
) -> None:
    save(tmp_path, 1)
    old = names(tmp_path)
    (tmp_path / MANIFEST).write_text("{", encoding="utf-8")
    fail_at(0, FULL)
    with pytest.raises(OSError, match="No space left"):
        save(tmp_path, 1)
    assert names(tmp_path) == old
    save(tmp_path, 1)
    assert names(tmp_path) & old == {MANIFEST}
