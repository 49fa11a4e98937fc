import sys
from pathlib import Path
from typing import get_args

import pytest

import segmix_core
from segmix_core.benchmark.methods import METHODS, check_methods
from segmix_core.config import RunConfig
from segmix_core.errors import ConfigError
from segmix_core.sections.train import Method


def test_an_unknown_method_is_named():
    check_methods(["cam", "segmix-plus", "grad-cam", "full"])
    with pytest.raises(
        ConfigError, match=r"'magic' is not a valid method. Choose from cam"
    ):
        check_methods(["cam", "magic"])


def test_a_missing_package_is_named_before_anything_trains(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_grad_cam", None)
    check_methods(["cam"])
    with pytest.raises(ConfigError, match="pip install grad-cam"):
        check_methods(["cam", "grad-cam"])


def test_methods_of_projects_are_all_there_and_change_nothing_else():
    for name in get_args(Method):
        assert dict(METHODS[name].changes) == {"train.method": name}
    for method in METHODS.values():
        RunConfig().replace(dict(method.changes))
    schedule = RunConfig().replace(dict(METHODS["cellmix-schedule"].changes))
    assert schedule.train.method == "segmix"
    assert schedule.curriculum.strategy == "cellmix"


def test_only_the_ceiling_reads_train_masks():
    assert [n for n, m in METHODS.items() if m.reads_train_masks] == ["full"]
    # One door, and one method that goes through it.
    source = Path(segmix_core.__file__).parent
    users = {
        path.relative_to(source).as_posix(): path.read_text(encoding="utf-8")
        for path in source.rglob("*.py")
    }
    named = {name for name, text in users.items() if "TrainMasks(" in text}
    assert named == {"benchmark/ceiling.py"}
    ceiling = "segmix_core.benchmark.ceiling import"
    importers = {name for name, text in users.items() if ceiling in text}
    assert importers == {"benchmark/methods.py"}
    true_masks = {n for n, text in users.items() if '/ "masks"' in text}
    assert true_masks >= {"benchmark/ceiling.py", "benchmark/folder.py"}
    assert {n for n in true_masks if n.startswith("benchmark/")} == {
        "benchmark/ceiling.py",
        "benchmark/folder.py",
    }
