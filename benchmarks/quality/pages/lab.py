"""The log of how settings were chosen: a question and a table for each file."""

from pathlib import Path

from benchmarks.quality.pages.page import read_text
from benchmarks.quality.pages.results import Results
from benchmarks.quality.pages.tables import markdown_table

HEAD = """# How settings were chosen

All choices used val scores; test masks were not read. Tables are sorted with the best \
row first. Each text names the commit that was run. Settings have the names they had \
then."""


def lab_files(docs: Path) -> dict[Path, str]:
    """Return the log, by where it belongs.

    Every file ``docs/lab/choices/NAME.json``, made with ``--score val``, is a section;
    ``NAME.md`` has its heading, which is the question, and the answer.

    Raises
    ------
    ProjectError
        If a text is missing, or scores are not of val.
    """
    paths = sorted((docs / "lab" / "choices").glob("*.json"))
    parts = [HEAD, *(_section(path) for path in paths)]
    return {docs / "lab" / "choices.md": "\n\n".join(parts) + "\n"}


def _section(path: Path) -> str:
    results = Results.read(path, "val")
    title, _, text = read_text(path.with_suffix(".md")).partition("\n")
    content = results.content
    return "\n\n".join(
        [
            f"## {title.lstrip('# ')}",
            text.strip(),
            f"{content['folder']}, protocol {content['protocol']}: "
            f"{results.conditions} [{path.name}](choices/{path.name})",
            markdown_table(results),
        ]
    )
