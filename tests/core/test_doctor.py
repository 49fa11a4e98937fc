import json
import subprocess
import sys
from importlib.metadata import PackageNotFoundError

import pytest
from typer.testing import CliRunner

from segmix_core import doctor
from segmix_core.cli.app import app
from segmix_core.doctor import Verdict


def test_this_machine_has_all_that_jobs_need(tmp_path):
    found = {check.name: check.verdict for check in doctor.examine(tmp_path)}
    assert found.pop("qt") in {Verdict.OK, Verdict.WARN}
    assert set(found) == {
        "python", "packages", "extras", "torch", "memory", "disk", "writing",
    }  # fmt: skip
    assert Verdict.FAIL not in {v for name, v in found.items() if name != "disk"}


def test_an_old_python_fails():
    check = doctor.check_python((3, 10, 4))
    assert (check.verdict, check.message) == (Verdict.FAIL, "3.10.4")
    assert "3.11" in check.hint


def test_missing_packages_are_named(monkeypatch):
    def find(name):
        if name in {"zarr", "timm"}:
            raise PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(doctor, "version", find)
    required, optional = doctor.check_packages()
    assert (required.verdict, required.message) == (Verdict.FAIL, "missing: zarr")
    assert (optional.verdict, optional.message) == (Verdict.WARN, "missing: timm")


def test_a_python_without_torch_fails(tmp_path):
    check = doctor.check_torch(str(tmp_path / "python"))
    assert check.verdict is Verdict.FAIL
    assert "No such file" in check.message or "cannot find" in check.message


def test_a_broken_torch_says_why(monkeypatch):
    monkeypatch.setattr(doctor, "_TORCH", "raise ImportError('libcudart is missing')")
    check = doctor.check_torch(sys.executable)
    assert check.message == "ImportError: libcudart is missing"


def test_a_torch_that_hangs_is_given_up(monkeypatch):
    def hang(*arguments, **options):
        raise subprocess.TimeoutExpired("python", 1)

    monkeypatch.setattr(subprocess, "run", hang)
    assert "did not answer" in doctor.check_torch("python").message


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"binding": "PyQt6", "qt": "6.8.0", "opengl": "4.5"}, "OpenGL 4.5"),
        ({"binding": "PyQt6", "qt": "6.8.0", "opengl": ""}, "without OpenGL"),
        ({"binding": "PyQt6", "qt": "6.11.1", "opengl": "4.5"}, "cannot be undocked"),
    ],
)
def test_qt_and_opengl_are_told(monkeypatch, answer, message):
    monkeypatch.setattr(doctor, "_QT", f"print({json.dumps(answer)!r})")
    check = doctor.check_qt()
    assert message in check.message
    assert (check.verdict is Verdict.OK) == (not check.hint)


@pytest.mark.parametrize(
    ("error", "message", "hint"),
    [
        ("Could not load the Qt platform plugin", "Qt found no display", "a screen"),
        ("No module named qtpy", "No module named qtpy", "extra 'qt'"),
    ],
)
def test_a_missing_qt_is_a_warning(monkeypatch, error, message, hint):
    monkeypatch.setattr(doctor, "_QT", f"raise SystemExit({error!r})")
    check = doctor.check_qt()
    assert (check.verdict, check.message) == (Verdict.WARN, message)
    assert hint in check.hint


@pytest.mark.parametrize(
    ("gigabytes", "verdict"), [(0.5, "fail"), (5, "warn"), (50, "ok")]
)
def test_disk_space_has_three_verdicts(tmp_path, gigabytes, verdict):
    assert doctor.check_disk(tmp_path, int(gigabytes * 2**30)).verdict == verdict


def test_small_memory_is_a_warning():
    assert doctor.check_memory(2 << 30).verdict is Verdict.WARN


def test_a_folder_that_is_not_there_fails(tmp_path):
    missing = tmp_path / "none"
    assert doctor.check_disk(missing).verdict is Verdict.FAIL
    assert doctor.check_writing(missing).verdict is Verdict.FAIL


def test_the_command_prints_a_line_a_check_and_an_exit_code(tmp_path, monkeypatch):
    checks = (
        doctor.Check("torch", Verdict.FAIL, "missing", "Install it."),
        doctor.Check("disk", Verdict.OK, "much"),
    )
    asked = []
    monkeypatch.setattr(
        "segmix_core.cli.health.examine", lambda *given: asked.append(given) or checks
    )
    arguments = ["doctor", str(tmp_path), "--python", "python3"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert "missing  -> Install it." in result.stdout
    assert asked == [(tmp_path, "python3")]
    answer = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert answer["healthy"] is False
    assert answer["checks"][0]["hint"] == "Install it."
