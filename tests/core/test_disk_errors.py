import errno
import os
from pathlib import Path

import pytest

from segmix_core.disk_errors import (
    export_error,
    is_disk_full,
    is_unwritable,
    reason_of,
    run_error,
)

FULL = [errno.ENOSPC, errno.EDQUOT, errno.EFBIG]


def error_of(number):
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize("number", FULL)
def test_quotas_and_limits_are_full_disks(number):
    error = error_of(number)
    assert is_disk_full(error)
    assert is_unwritable(error)
    assert export_error(Path("a.tif"), error).hint.startswith("Free some space")


@pytest.mark.parametrize(
    ("error", "unwritable"),
    [
        (error_of(errno.EROFS), True),
        (error_of(errno.EACCES), False),
        (OSError("x is not a file"), False),
    ],
)
def test_other_errors_are_no_full_disks(error, unwritable):
    assert not is_disk_full(error)
    assert is_unwritable(error) is unwritable
    assert export_error(Path("a.tif"), error).hint.startswith("Check that the folder")
    assert not is_disk_full(ValueError("x"))
    assert not is_disk_full(None)


@pytest.mark.parametrize("make", [export_error, run_error])
def test_an_error_says_why_whoever_raised_it(make):
    told = make(Path("a\n.tif"), OSError("it is a symbolic link"))
    assert told.message == r"a\n.tif cannot be written (it is a symbolic link)."
    told = make(Path("a.tif"), error_of(errno.EACCES))
    assert told.message == "a.tif cannot be written (Permission denied)."


def test_the_words_of_the_system_go_first():
    assert reason_of(FileNotFoundError(2, "No such file", "x")) == "No such file"
    assert reason_of(OSError("its own words")) == "its own words"
