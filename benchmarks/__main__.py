"""Measure everything, print it and write docs/performance.md.

    python -m benchmarks [shuffle | cams | pcm | step | modes ...]

With names only those parts are measured; the report keeps its other parts.
"""

import os
import platform
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from benchmarks.comparison import Table

PARTS = ("shuffle", "cams", "pcm", "step", "modes")
REPORT = Path(__file__).parents[1] / "docs" / "performance.md"


def main(names: list[str]) -> None:
    unknown = set(names) - set(PARTS)
    if unknown:
        sys.exit(f"Expected names among {', '.join(PARTS)}, got {', '.join(unknown)}")
    # One thread: ratios then do not depend on how many cores are free at the moment.
    torch.set_num_threads(1)
    found: list[Table] = []
    for name in names or PARTS:
        for table in import_module(f"benchmarks.{name}").tables():
            print(table.markdown(), flush=True)
            found.append(table)
    parts = _former_parts() if names else {}
    parts |= {table.title: table.markdown() for table in found}
    REPORT.write_text(_heading() + "\n".join(parts.values()), encoding="utf-8")


def _former_parts() -> dict[str, str]:
    """Return the parts of the report by their titles, in its order."""
    if not REPORT.exists():
        return {}
    _, *parts = REPORT.read_text(encoding="utf-8").split("\n## ")
    return {part.partition("\n")[0]: f"## {part.strip()}\n" for part in parts}


def _heading() -> str:
    return (
        "# Speed and memory\n\n"
        "Written by `python -m benchmarks`; each number is compared with a peer that "
        "was timed in turns with it. Ratios are medians of the turns, with quartiles "
        "in brackets; times are medians and depend on what else the machine does. "
        "The latency of the project store is printed by "
        "`python benchmarks/store_latency.py`.\n\n"
        f"PyTorch {torch.__version__} with one thread, Python "
        f"{platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores "
        "shared with other work.\n\n"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
