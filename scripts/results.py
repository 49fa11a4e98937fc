"""Writes docs/results.md, its figures, and docs/lab/choices.md.

Usage: python -m scripts.results

They are made of the files of ``python -m benchmarks quality --json`` in docs/results
and docs/lab/choices, and of the texts beside them.
"""

import sys
from pathlib import Path

from benchmarks.quality.pages.lab import lab_files
from benchmarks.quality.pages.page import results_files
from segmix_core.errors import SegmixError

DOCS = Path(__file__).parents[1] / "docs"


def main() -> int:
    """Write the files and return the exit code."""
    try:
        files = {**results_files(DOCS), **lab_files(DOCS)}
    except SegmixError as error:
        print(error, file=sys.stderr)
        return 2
    for path, text in files.items():
        path.write_text(text, encoding="utf-8", newline="\n")
        print(f"Wrote {path.relative_to(DOCS.parent)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
