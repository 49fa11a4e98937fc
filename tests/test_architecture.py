"""Rules that no linter keeps: light imports, documents that tell the truth."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from benchmarks.__main__ import app as benchmarks
from benchmarks.quality.row_names import parse_variants
from benchmarks.quality.variants import check_variants
from segmix_core.cli.app import app
from segmix_core.settings import RunSettings

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "ARCHITECTURE.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "lab").glob("*.md")),
]
HEAVY = ("torch", "qtpy", "napari", "PyQt6")
# Names inside a run folder or a data folder, not of this repository.
ELSEWHERE = {
    *("previews/", "checkpoints/", "log.txt"),
    *("cache/", "exports/", "snapshots/"),
}
"""What lies in run folders and projects."""


def _loaded(statement: str) -> set[str]:
    code = f"{statement}; import sys; print(' '.join(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return set(result.stdout.split())


def test_importing_the_core_loads_nothing_heavy() -> None:
    light = "import segmix_core, segmix_core.settings, segmix_core.cli"
    assert _loaded(light).isdisjoint(HEAVY)


def test_the_command_of_the_benchmarks_loads_nothing_heavy() -> None:
    assert _loaded("import benchmarks.__main__").isdisjoint(HEAVY)


def test_importing_what_the_plugin_uses_loads_no_torch() -> None:
    parts = "project.store, segmix_core.slides.open_slide, segmix_core.runs.launch"
    loaded = _loaded(f"import segmix_core.{parts}, segmix_core.intake")
    assert loaded.isdisjoint(HEAVY)


def test_importing_the_plugin_loads_no_torch() -> None:
    loaded = _loaded("import napari_segmix, napari_segmix.widgets.dock")
    assert "torch" not in loaded
    assert "napari_segmix.session" in loaded


def _paths(text: str) -> set[str]:
    quoted = re.findall(r"`([^`\s]+)`", text) + re.findall(r"\]\(([^)\s]+)\)", text)
    return {
        path.partition("#")[0]
        for path in quoted
        if re.fullmatch(r"(?:[\w.-]+/)+[\w.-]*|[\w-]+\.(?:md|toml|txt|yaml)", path)
        and not path.startswith(("http", "napari/", "PROJECT/", "FOLDER/", "RUN/"))
    }


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_paths_named_in_documents_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    known = (
        ROOT,
        document.parent,
        ROOT / "src" / "segmix_core",
        ROOT / "napari_segmix",
    )
    missing = {
        path
        for path in _paths(text) - ELSEWHERE
        if not any((base / path).exists() for base in known)
    }
    assert not missing


def _folders_to_name() -> set[str]:
    """Return the folders with files of ours, relative to the root; tests by kind."""
    tops = ("src/segmix_core", "napari_segmix", "benchmarks", "tests", "scripts")
    code = {path.parent for top in tops for path in (ROOT / top).rglob("*.py")}
    docs = {path for path in (ROOT / "docs").iterdir() if path.is_dir()}
    folders = {path.relative_to(ROOT) for path in code | docs} | {Path("docs")}
    # Below tests/core and its like the folders are those of what is tested.
    return {
        Path(*folder.parts[:2]).as_posix() if folder.parts[0] == "tests" else name
        for folder in folders
        if (name := folder.as_posix()) not in ("src/segmix_core", "tests")
    }


def test_the_architecture_names_every_folder() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named = {path.rstrip("/") for path in _paths(text) if path.endswith("/")}
    named |= {f"src/segmix_core/{path}" for path in named}
    assert not _folders_to_name() - named


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_named_in_documents_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    commands = get_command(app).commands
    named = set(re.findall(r"(?:^|`)segmix ([a-z][a-z-]+)", text, flags=re.MULTILINE))
    assert named <= set(commands)
    named = re.findall(r"python -m benchmarks ([a-z]+)", text)
    assert set(named) <= set(get_command(benchmarks).commands)
    targets = set(re.findall(r"`make ([a-z]+)`", text))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


def test_benchmarks_named_in_documents_take_these_options() -> None:
    commands = get_command(benchmarks).commands
    found = 0
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        for line in re.findall(r"python -m benchmarks ([^`\n]+)", text):
            name, *words = shlex.split(line)
            if name == "quality" and words and words[0][0] != "-":
                # Raises where a word is unknown, missing or out of range.
                values = commands[name].make_context(name, words).params
                variants = parse_variants(values["methods"])
                check_variants(variants, RunSettings())
                found += 1
            elif name == "speed":
                commands[name].make_context(name, words)
    assert found >= 5


def test_the_manifest_at_the_root_is_the_one_in_the_package() -> None:
    root = (ROOT / "napari.yaml").read_text(encoding="utf-8")
    assert root == (ROOT / "napari_segmix/napari.yaml").read_text(encoding="utf-8")
