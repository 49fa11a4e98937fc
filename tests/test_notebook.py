"""The notebook runs from start to end, in an interpreter of its own."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "docs" / "notebook.ipynb"


def texts(notebook):
    return "".join(
        line
        for cell in notebook["cells"]
        for output in cell.get("outputs", [])
        for line in output.get("text", [])
    )


@pytest.mark.timeout(600)
def test_the_notebook_runs(tmp_path):
    script, result = ROOT / "scripts" / "run_notebook.py", tmp_path / "result.ipynb"
    command = [sys.executable, str(script), str(NOTEBOOK), str(result)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = texts(json.loads(result.read_text(encoding="utf-8")))
    first, second = re.findall(r"mean IoU .*: (0\.\d+)", found)
    # Random masks of these classes have 0.15 or less.
    assert float(first) > 0.4
    assert float(second) > 0.3


def test_its_stored_pictures_are_small():
    assert NOTEBOOK.stat().st_size < 300_000
    pictures = [
        output
        for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 4
