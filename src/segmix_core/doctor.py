"""Check the installation: one line per check, each with a hint.

Torch and Qt are checked in separate processes, since a broken installation may crash
its process.
"""

import json
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from enum import StrEnum, unique
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

import psutil

from segmix_core.disk_errors import reason_of

_DISTRIBUTION = "napari-segmix"
_OPTIONAL = ("torch", "torchvision", "timm", "segmentation-models-pytorch", "napari")
_BAD_QT = {"6.11.0": "docks cannot be undocked", "6.11.1": "docks cannot be undocked"}
_FREE_FAIL, _FREE_WARN = 1 << 30, 10 << 30
_MEMORY_WARN = 4 << 30
_ASK_SECONDS = 120

_TORCH = """
import json, platform, torch, segmix_core.events
cuda = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
devices = ["cpu", *(f"cuda:{i} ({name})" for i, name in enumerate(cuda))]
devices += ["mps"] if torch.backends.mps.is_available() else []
print(json.dumps({
    "torch": torch.__version__, "devices": devices,
    "python": platform.python_version(),
}))
"""
_QT = """
import json
from qtpy import API_NAME
from qtpy.QtCore import qVersion
from qtpy.QtGui import QGuiApplication, QOffscreenSurface, QOpenGLContext
application = QGuiApplication([])
surface, context = QOffscreenSurface(), QOpenGLContext()
surface.create()
works = context.create() and context.makeCurrent(surface)
size = context.format() if works else None
print(json.dumps({
    "binding": API_NAME, "qt": qVersion(),
    "opengl": f"{size.majorVersion()}.{size.minorVersion()}" if size else "",
}))
"""


@unique
class Verdict(StrEnum):
    """Severity of a result."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check, with a hint."""

    name: str
    verdict: Verdict
    message: str
    hint: str = ""


def examine(folder: Path, python: str | None = None) -> tuple[Check, ...]:
    """Check interpreter, packages, torch, Qt, and the disk below ``folder``.

    ``python`` is the interpreter for jobs; None: the running one.
    """
    return (
        check_python(),
        *check_packages(),
        check_torch(python or sys.executable),
        check_qt(),
        check_memory(psutil.virtual_memory().total),
        check_disk(folder),
        check_writing(folder),
    )


def check_python(found: tuple[int, ...] = sys.version_info[:3]) -> Check:
    """Check the version of Python."""
    name = ".".join(str(part) for part in found)
    if found < (3, 11):
        return Check("python", Verdict.FAIL, name, "Install Python 3.11 or newer.")
    return Check("python", Verdict.OK, f"{name} on {platform.platform(terse=True)}")


def check_packages() -> tuple[Check, ...]:
    """Check that the dependencies are installed, without importing them."""
    needed = [
        line.split(";")[0]
        for line in requires(_DISTRIBUTION) or []
        if "extra" not in line
    ]
    names = [_name(line) for line in needed]
    missing = [name for name in names if not _installed(name)]
    found = [f"{name} {_installed(name)}" for name in _OPTIONAL if _installed(name)]
    lacking = [name for name in _OPTIONAL if not _installed(name)]
    own = f"segmix {version(_DISTRIBUTION)}, {len(names) - len(missing)} packages"
    required = (
        Check("packages", Verdict.FAIL, f"missing: {', '.join(missing)}", _INSTALL)
        if missing
        else Check("packages", Verdict.OK, own)
    )
    optional = (
        Check("extras", Verdict.WARN, f"missing: {', '.join(lacking)}", _INSTALL_ALL)
        if lacking
        else Check("extras", Verdict.OK, ", ".join(found))
    )
    return required, optional


_INSTALL = "pip install --force-reinstall napari-segmix"
_INSTALL_ALL = 'pip install "napari-segmix[all]"'


def check_torch(python: str) -> Check:
    """Check that ``python`` can run jobs, and which devices torch sees."""
    answer, message = _ask(python, _TORCH)
    if answer is None:
        hint = 'pip install "napari-segmix[torch]", or choose another Python.'
        return Check("torch", Verdict.FAIL, message, hint)
    devices = ", ".join(answer["devices"])
    message = f"{answer['torch']} on {devices}, Python {answer['python']}"
    return Check("torch", Verdict.OK, message)


def check_qt() -> Check:
    """Check the Qt binding and OpenGL on the current display."""
    answer, message = _ask(sys.executable, _QT)
    if answer is None:
        hint = "The command line works without; the dock needs the extra 'qt'."
        if "platform plugin" in message:
            # Qt lists its plugins last; the reason is above.
            message = "Qt found no display"
            hint = "The command line works without; the dock needs a screen."
        return Check("qt", Verdict.WARN, message, hint)
    name = f"{answer['binding']} (Qt {answer['qt']})"
    if not answer["opengl"]:
        hint = "Use a display with OpenGL, such as Xvfb; 'offscreen' has none."
        return Check("qt", Verdict.WARN, f"{name} without OpenGL", hint)
    if trouble := _BAD_QT.get(answer["qt"]):
        hint = "Install another Qt version."
        return Check("qt", Verdict.WARN, f"{name}: {trouble}", hint)
    return Check("qt", Verdict.OK, f"{name}, OpenGL {answer['opengl']}")


def check_memory(total_bytes: int) -> Check:
    """Check the amount of memory, in bytes."""
    message = f"{total_bytes / 2**30:.1f} GiB"
    if total_bytes < _MEMORY_WARN:
        return Check("memory", Verdict.WARN, message, "Use small batches.")
    return Check("memory", Verdict.OK, message)


def check_disk(folder: Path, free_bytes: int | None = None) -> Check:
    """Check the free space below ``folder``, in bytes."""
    if free_bytes is None:
        try:
            free_bytes = shutil.disk_usage(folder).free
        except OSError as error:
            message = f"{folder}: {reason_of(error)}"
            return Check("disk", Verdict.FAIL, message, "Choose another folder.")
    message = f"{free_bytes / 2**30:.1f} GiB free in {folder.absolute()}"
    if free_bytes < _FREE_WARN:
        verdict = Verdict.FAIL if free_bytes < _FREE_FAIL else Verdict.WARN
        return Check("disk", verdict, message, "Free disk space.")
    return Check("disk", Verdict.OK, message)


def check_writing(folder: Path) -> Check:
    """Check that files can be created in ``folder``."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return Check("writing", Verdict.OK, f"allowed in {folder.absolute()}")
    except OSError as error:
        message = f"{folder.absolute()}: {reason_of(error)}"
        return Check("writing", Verdict.FAIL, message, "Choose another folder.")


def _ask(python: str, program: str) -> tuple[dict[str, Any] | None, str]:
    try:
        done = subprocess.run(
            [python, "-P", "-c", program],
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=_ASK_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None, f"{python} did not answer within {_ASK_SECONDS} s"
    except OSError as error:
        return None, f"{python}: {reason_of(error)}"
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[
            -1
        ]
        return None, last
    return json.loads(done.stdout.strip().splitlines()[-1]), ""


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _name(requirement: str) -> str:
    for index, letter in enumerate(requirement):
        if not (letter.isalnum() or letter in "-_."):
            return requirement[:index]
    return requirement
