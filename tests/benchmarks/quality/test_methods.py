import sys
from pathlib import Path

import pytest

from benchmarks.quality.methods import METHODS, check_methods
from segmix_core.errors import ConfigError
from segmix_core.methods import METHODS as TRAINED_METHODS
from segmix_core.settings import RunSettings

ROOT = Path(__file__).parents[3]


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
    for name in TRAINED_METHODS:
        assert dict(METHODS[name].changes) == {"train.method": name}
    for method in METHODS.values():
        RunSettings().replace(dict(method.changes))
    schedule = RunSettings().replace(dict(METHODS["cellmix-schedule"].changes))
    assert schedule.train.method == "segmix"
    assert schedule.train.strategy == "cellmix"


def test_only_the_ceiling_reads_train_masks():
    assert [n for n, m in METHODS.items() if m.reads_train_masks] == ["full"]
    # One door, and one method that goes through it.
    users = {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
        for folder in ("src", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
    }
    named = {name for name, text in users.items() if "TrainMasks(" in text}
    assert named == {"benchmarks/quality/ceiling.py"}
    ceiling = "benchmarks.quality.ceiling import"
    importers = {name for name, text in users.items() if ceiling in text}
    assert importers == {"benchmarks/quality/methods.py"}
    true_masks = {n for n, text in users.items() if '/ "masks"' in text}
    assert true_masks >= {
        "benchmarks/quality/ceiling.py",
        "benchmarks/quality/folder.py",
    }
    assert {n for n in true_masks if n.startswith("benchmarks/")} == {
        "benchmarks/quality/ceiling.py",
        "benchmarks/quality/folder.py",
    }
