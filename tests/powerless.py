"""Tests of permissions, run by root: the right to ignore permissions is given up.

Another user would not do: a checkout of root's, its environment and its folders for
tests may lie where nobody else can enter.
"""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
"""Where a program that is started has to be to import this file."""
_VERSION = 0x20080522
_DAC_OVERRIDE, _DAC_READ_SEARCH = 1 << 1, 1 << 2
_EFFECTIVE, _PERMITTED = 0, 1


@contextmanager
def powerless() -> Iterator[None]:
    """Let permissions bind this thread, also if it is root's, inside the block."""
    if os.geteuid() != 0:
        yield
        return
    former = _capabilities()
    _set(_without_override(former, _EFFECTIVE))
    try:
        yield
    finally:
        _set(former)


def give_up_power() -> None:
    """Let permissions bind this process from now on, and ``os.access`` know it."""
    if os.geteuid() == 0:
        _set(_without_override(_capabilities(), _EFFECTIVE, _PERMITTED))


def _without_override(words: list[int], *kinds: int) -> list[int]:
    kept = list(words)
    for kind in kinds:
        kept[kind] &= ~(_DAC_OVERRIDE | _DAC_READ_SEARCH)
    return kept


def _capabilities() -> list[int]:
    return list(_call("capget", [0] * 6))


def _set(words: list[int]) -> None:
    _call("capset", words)


def _call(name: str, words: list[int]) -> "ctypes.Array[ctypes.c_uint32]":
    assert sys.platform == "linux", "only Linux lets root give up a part of its power"
    header = (ctypes.c_uint32 * 2)(_VERSION, 0)
    data = (ctypes.c_uint32 * 6)(*words)
    if getattr(ctypes.CDLL(None, use_errno=True), name)(header, data) != 0:
        raise OSError(ctypes.get_errno(), name)
    return data
