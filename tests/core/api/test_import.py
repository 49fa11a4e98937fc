"""The package by its name alone."""

import ast
import os
import subprocess
import sys
from pathlib import Path

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
    assert dir(sx) == sx.__all__
    assert all(getattr(sx, name) is getattr(sx, name) for name in sx.__all__)
    with pytest.raises(AttributeError, match="no attribute 'shuffle'"):
        _ = sx.shuffle


def test_idle_threads_of_torch_sleep_unless_it_is_set():
    name = "OMP_WAIT_POLICY"
    code = f"import os, segmix_core; segmix_core.SegMix; print(os.environ['{name}'])"
    for given, expected in (({}, "passive"), ({name: "active"}, "active")):
        environment = {k: v for k, v in os.environ.items() if k != name}
        result = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env=environment | given,
        )
        assert result.stdout.strip() == expected


def test_the_lists_of_names_agree():
    # What type checkers read, what is loaded at run time, and what is exported.
    tree = ast.parse(Path(sx.__file__).read_text(encoding="utf-8"))
    (typed,) = (node for node in tree.body if isinstance(node, ast.If))
    homes = {
        alias.name: node.module.removeprefix("segmix_core.")
        for node in typed.body
        for alias in node.names
    }
    assert homes == sx._HOMES
    assert sx.__all__ == sorted(homes)
