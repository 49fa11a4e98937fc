"""The report: a section a table, each with what it was measured on."""

import os
import platform
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from datetime import date
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import psutil
import torch

ROOT = Path(__file__).parents[2]
REPORT = ROOT / "docs" / "performance.md"
HEADING = (
    "# Speed and memory\n\n"
    "`python -m benchmarks speed` writes this page. Each number is compared with a "
    "peer, and the two are timed in alternation. Ratios are medians, with quartiles in "
    "parentheses. Times are medians and depend on what else runs on the machine. Each "
    "section says what it was measured on. Measuring one part replaces only the "
    "sections of that part.\n\n"
)


def measure(names: Iterable[str], report: Path) -> None:
    """Measure parts, print their tables and put them into the report.

    Parameters
    ----------
    names
        Modules of this folder that have ``tables()``.
    report
        The file; its other sections stay.
    """
    # One thread: ratios then do not depend on how many cores are free at the moment.
    torch.set_num_threads(1)
    for name in names:
        conditions = describe_conditions()
        sections = {}
        for table in import_module(f"benchmarks.speed.{name}").tables():
            sections[table.title] = table.markdown(conditions)
            print(sections[table.title], flush=True)
        written = report.read_text(encoding="utf-8") if report.exists() else ""
        report.write_text(replace_sections(written, sections), encoding="utf-8")


def replace_sections(report: str, sections: Mapping[str, str]) -> str:
    """Return a report with some sections replaced, and all others as they were.

    Parameters
    ----------
    report
        May be empty.
    sections
        Text of each by its title; what is not there yet comes last.
    """
    _, *parts = report.split("\n## ")
    former = {part.partition("\n")[0]: f"## {part.strip()}\n" for part in parts}
    return HEADING + "\n".join((former | dict(sections)).values())


def describe_conditions() -> str:
    """Return the date, the version and the machine, as a sentence."""
    # One minute's mean of processes at work, before ours begin.
    load = psutil.getloadavg()[0]
    devices = [_processor()]
    if torch.cuda.is_available():
        devices.append(torch.cuda.get_device_name())
    return (
        f"Measured on {date.today().isoformat()} at {_state()}: "
        f"PyTorch {torch.__version__} with one thread, "
        f"Python {platform.python_version()}, {', '.join(devices)}, "
        f"{os.cpu_count()} cores, load {load:.1f} at the start."
    )


def _state() -> str:
    """Return the commit that is measured, or the version where there is no git."""
    commit = _git("rev-parse", "--short", "HEAD")
    if not commit:
        return f"version {version('napari-segmix')}"
    # The report itself changes while parts are measured.
    changed = _git("status", "--porcelain", "--", "src", "benchmarks")
    return f"commit {commit} with changes" if changed else f"commit {commit}"


def _git(*arguments: str) -> str:
    """Return what git prints; nothing where it cannot."""
    git = shutil.which("git")
    if git is None:
        return ""
    command = [git, *arguments]
    found = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    return found.stdout.strip()


def _processor() -> str:
    # On Linux, platform.processor() knows the architecture at best.
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
