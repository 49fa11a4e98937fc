"""docs/guide.md, typed as it stands, in an empty folder."""

import re
import shlex
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from segmix_core.cli.app import app

GUIDE = Path(__file__).parents[2] / "docs" / "guide.md"
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`(segmix [^`\n]+)`(?!`)")


def blocks():
    """Return the fenced blocks: what stands behind the fence, and the lines."""
    text = GUIDE.read_text(encoding="utf-8")
    return [(kind.strip(), body) for kind, body in FENCE.findall(text)]


def test_every_command_works_in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    typed = []
    for kind, body in blocks():
        if kind:
            # A file that the reader is shown: its format, its name.
            (tmp_path / kind.split()[1]).write_text(body, encoding="utf-8")
            continue
        for line in body.splitlines():
            program, *words = shlex.split(line)
            assert program == "segmix", line
            done = CliRunner().invoke(app, words)
            assert done.exit_code == 0, f"{line}\n{done.output}"
            typed.append(words[0])
    # All stages, and what is only told about the files of the reader.
    assert {
        "sample", "new", "add", "tissue", "tiles", "import-labels", "train", "cams",
        "pseudo-masks", "train-segmenter", "predict", "export", "evaluate", "verify",
        "snapshots", "repair",
    } <= set(typed)  # fmt: skip
    assert (tmp_path / "sample.segmix" / "exports" / "sample.tif").is_file()


def inline_commands():
    text = FENCE.sub("", GUIDE.read_text(encoding="utf-8"))
    return sorted(set(INLINE.findall(text)))


@pytest.mark.parametrize("line", inline_commands())
def test_commands_in_sentences_exist_with_their_options(line):
    _, name, *words = shlex.split(line)
    command = typer.main.get_command(app).commands[name]
    known = {text for param in command.params for text in (*param.opts, "--help")}
    assert {word for word in words if word.startswith("--")} <= known
