"""Measure everything, print it and write docs/performance.md.

    python -m benchmarks [shuffle | cams | pcm | step | modes | adding ...]

With names only those parts are measured; the report keeps its other parts.
"""

import sys
from importlib import import_module

import torch

from benchmarks.report import ROOT, describe_conditions, replace_sections

PARTS = ("shuffle", "cams", "pcm", "step", "modes", "adding")
REPORT = ROOT / "docs" / "performance.md"


def main(names: list[str]) -> None:
    unknown = set(names) - set(PARTS)
    if unknown:
        sys.exit(f"Expected names among {', '.join(PARTS)}, got {', '.join(unknown)}")
    # One thread: ratios then do not depend on how many cores are free at the moment.
    torch.set_num_threads(1)
    for name in names or PARTS:
        _measure(name)


def _measure(name: str) -> None:
    """Measure a part and put its sections into the report."""
    conditions = describe_conditions()
    sections = {}
    for table in import_module(f"benchmarks.{name}").tables():
        sections[table.title] = table.markdown(conditions)
        print(sections[table.title], flush=True)
    report = REPORT.read_text(encoding="utf-8") if REPORT.exists() else ""
    REPORT.write_text(replace_sections(report, sections), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
