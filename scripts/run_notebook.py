"""Run the cells of a notebook in order, and store what they print and show.

``python scripts/run_notebook.py docs/notebook.ipynb [RESULT]``; without RESULT the
notebook itself is rewritten. Jupyter is not needed.
"""

import ast
import base64
import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any


def run_notebook(content: dict[str, Any]) -> dict[str, Any]:
    """Return a notebook with the outputs of its code cells; errors are raised."""
    names: dict[str, Any] = {"__name__": "__main__"}
    cells, count = [], 0
    for cell in content["cells"]:
        if cell["cell_type"] != "code":
            cells.append(cell)
            continue
        count += 1
        outputs = _run_cell("".join(cell["source"]), names, count)
        cells.append({**cell, "execution_count": count, "outputs": outputs})
    return {**content, "cells": cells}


def _run_cell(source: str, names: dict[str, Any], count: int) -> list[dict[str, Any]]:
    tree, name = ast.parse(source), f"<cell {count}>"
    last = None
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        last = ast.Expression(tree.body.pop().value)
    printed, value = io.StringIO(), None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, name, "exec"), names)
        if last is not None:
            value = eval(compile(last, name, "eval"), names)
    outputs = []
    if printed.getvalue():
        lines = printed.getvalue().splitlines(keepends=True)
        outputs.append({"name": "stdout", "output_type": "stream", "text": lines})
    if value is not None:
        outputs.append(
            {
                "data": _shown(value),
                "execution_count": count,
                "metadata": {},
                "output_type": "execute_result",
            }
        )
    return outputs


def _shown(value: object) -> dict[str, Any]:
    """Return a value as Jupyter stores it: a picture where it can draw itself."""
    as_png = getattr(value, "_repr_png_", None)
    if as_png is not None:
        return {"image/png": base64.b64encode(as_png()).decode() + "\n"}
    return {"text/plain": [repr(value)]}


if __name__ == "__main__":
    source = Path(sys.argv[1])
    result = run_notebook(json.loads(source.read_text(encoding="utf-8")))
    target = Path(sys.argv[-1])
    text = json.dumps(result, indent=1, ensure_ascii=False)
    target.write_text(text + "\n", encoding="utf-8")
