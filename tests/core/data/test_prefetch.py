import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from segmix_core.data.prefetch import prefetch


def alive() -> int:
    return sum(thread.name == "prefetch" for thread in threading.enumerate())


def test_items_come_in_order() -> None:
    assert list(prefetch(lambda: iter(range(50)))) == list(range(50))
    assert alive() == 0


def test_nothing_starts_before_the_first_item_is_wanted() -> None:
    prefetch(lambda: iter([1]))
    assert alive() == 0


def test_items_are_made_ahead_but_not_without_limit() -> None:
    made: list[int] = []

    def make() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    with closing(prefetch(make, depth=2)) as items:
        next(items)
        deadline = time.monotonic() + 5
        while len(made) < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)
        # One taken, two waiting, one in the hand of the thread.
        assert len(made) == 4
    assert alive() == 0


def test_closing_early_ends_the_thread() -> None:
    def endless() -> Iterator[int]:
        while True:
            yield 1

    items = prefetch(endless)
    next(items)
    begun = time.monotonic()
    items.close()
    assert alive() == 0
    assert time.monotonic() - begun < 2


def test_error_of_the_consumer_ends_the_thread() -> None:
    def consume() -> None:
        with closing(prefetch(lambda: iter(range(1000)))) as items:
            for number in items:
                if number == 3:
                    raise KeyError("consumer")

    with pytest.raises(KeyError, match="consumer"):
        consume()
    assert alive() == 0


def test_error_in_the_thread_comes_after_the_items_before_it() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise LookupError("in the thread")

    items = prefetch(broken)
    assert next(items) == 1
    with pytest.raises(LookupError, match="in the thread"):
        next(items)
    assert alive() == 0


def test_depth_is_positive() -> None:
    with pytest.raises(ValueError, match="depth >= 1"):
        prefetch(lambda: iter([1]), depth=0)
