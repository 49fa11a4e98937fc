import pytest

from segmix_core.project.store import ProjectStore


@pytest.fixture
def store(tmp_path):
    with ProjectStore.create(tmp_path / "project", ["a", "b"]) as store:
        yield store
