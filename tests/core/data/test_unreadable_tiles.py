import pytest

from segmix_core.data.unreadable_tiles import UnreadableTiles
from segmix_core.errors import JobError, SlideError


def error(name):
    return SlideError(f"There is a broken {name}.", "Repair it.")


@pytest.mark.parametrize(("count", "most"), [(12, 5), (100, 5), (200, 10), (3, 2)])
def test_few_are_told_of_and_many_end_the_run(count, most):
    lost = UnreadableTiles(count)
    for number in range(most):
        told = lost.add(f"{number}.png", error(f"{number}.png")).message
        assert told.startswith(f"Skipped tile {number}.png: ")
        assert f"a broken {number}.png" in told
    assert len(lost) == most
    with pytest.raises(JobError) as caught:
        lost.add("last.png", error("last.png"))
    found = (
        f"{most + 1} of {count} tiles cannot be read, such as: There is a broken 0.png"
    )
    assert caught.value.reason == found
