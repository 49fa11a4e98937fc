"""What the docstrings of the public names say is true: their examples run."""

import doctest
import importlib
import importlib.util
import inspect
import re
from pathlib import Path

import numpy as np
import pytest

import segmix_core as sx

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", sx.__all__)
def test_examples_run(name, tmp_path):
    found = doctest.DocTestFinder(recurse=True).find(getattr(sx, name), name)
    examples = [test for test in found if test.examples]
    assert name in {test.name for test in examples}, "There is no example."
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    report = []
    for number, test in enumerate(examples):
        folder = tmp_path / str(number)
        folder.mkdir()
        test.globs = {"sx": sx, "np": np, "folder": folder}
        runner.run(test, out=report.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(report)


def _modules_with_examples():
    """Return the modules whose docstrings have examples, but for the public names."""
    source = ROOT / "src"
    public = {getattr(sx, name).__module__ for name in sx.__all__}
    found = [
        ".".join(path.relative_to(source).with_suffix("").parts)
        for path in sorted(source.rglob("*.py"))
        if ">>> " in path.read_text(encoding="utf-8")
    ]
    return [name for name in found if name not in public]


@pytest.mark.parametrize("name", _modules_with_examples())
def test_examples_of_other_modules_run(name):
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted > 0
    assert found.failed == 0


@pytest.mark.parametrize("name", sx.__all__)
def test_every_argument_is_described(name):
    thing = getattr(sx, name)
    functions = [thing]
    if inspect.isclass(thing):
        functions = [
            value
            for member, value in vars(thing).items()
            if inspect.isfunction(value) and not member.startswith("_")
        ]
    for function in functions:
        text = inspect.getdoc(function) or ""
        assert text, function
        parameters = set(inspect.signature(function).parameters) - {"self", "cls"}
        named = {
            word
            for line in re.findall(r"^[\w, ]+$", text, re.MULTILINE)
            for word in line.split(", ")
        }
        assert inspect.isclass(thing) or parameters <= named, function


def test_the_page_is_current():
    path = ROOT / "scripts" / "api_page.py"
    spec = importlib.util.spec_from_file_location("api_page", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    current = script.PAGE.read_text(encoding="utf-8")
    assert current == script.make_page(), "Run scripts/api_page.py."
