"""The package by its name alone."""

import subprocess
import sys

import pytest

import segmix_core as sx


def loaded(statement):
    code = f"{statement}; import sys; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return set(result.stdout.split())


def test_torch_is_loaded_when_it_is_needed():
    settings = "import segmix_core as sx; sx.SegMixPlus(); sx.Project; sx.pseudo_masks"
    assert "torch" not in loaded(settings)
    assert "torch" in loaded("import segmix_core as sx; sx.shuffle_batch")


def test_all_names_are_there_and_no_others():
    assert sx.__all__ == sorted(sx.__all__)
    assert set(sx.__all__) <= set(dir(sx))
    assert all(getattr(sx, name) is getattr(sx, name) for name in sx.__all__)
    with pytest.raises(AttributeError, match="no attribute 'shuffle'"):
        _ = sx.shuffle
