"""Print the output of commands: text for people, or JSON for programs."""

import json
from collections.abc import Sequence
from typing import Any, Literal

from rich import box
from rich.console import Console as RichConsole
from rich.table import Table

from segmix_core.errors import SegmixError
from segmix_core.files import encode_json, printable


class Console:
    """Text for people, and one JSON object for programs.

    Parameters
    ----------
    as_json
        Whether stdout belongs to the JSON object; text then goes to stderr.
    """

    def __init__(self, as_json: bool = False) -> None:
        self.as_json = as_json
        self.out = RichConsole(stderr=as_json, highlight=False)
        self.err = RichConsole(stderr=True, highlight=False)

    def say(self, text: str, style: str | None = None) -> None:
        """Print a line of text, without wrapping it."""
        self.out.print(_text(text), style=style, markup=False, soft_wrap=True)

    def note(self, text: str) -> None:
        """Print a remark to stderr."""
        self.err.print(_text(text), style="dim", markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """Print a warning."""
        self.err.print(
            f"Warning: {_text(text)}", style="yellow", markup=False, soft_wrap=True
        )

    def fail(self, error: SegmixError) -> None:
        """Print an error as text or JSON."""
        self.failed(error.message, error.hint, error=type(error).__name__)

    def failed(self, message: str, hint: str = "", **facts: Any) -> None:
        """Print an error; ``facts`` are added to the JSON object."""
        text = _text(f"{message} {hint}".strip())
        self.err.print(f"Error: {text}", style="red", markup=False, soft_wrap=True)
        self.result({"message": message, "hint": hint, **facts})

    def result(self, content: dict[str, Any]) -> None:
        """Print the JSON object, if requested."""
        if self.as_json:
            text = json.dumps(content, indent=1, ensure_ascii=False, default=str)
            text = encode_json(text).decode()
            RichConsole(highlight=False).print(text, markup=False, soft_wrap=True)

    def table(
        self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]
    ) -> None:
        """Print a table; numbers are aligned to the right."""
        table = Table(
            title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD
        )
        for index, name in enumerate(columns):
            numbers = bool(rows) and all(type(row[index]) is int for row in rows)
            side: Literal["left", "right"] = "right" if numbers else "left"
            table.add_column(name, justify=side, overflow="fold")
        for row in rows:
            table.add_row(*(_plain(value) for value in row))
        self.out.print(table)


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else ""
    # Square brackets occur in file names, but rich interprets them as markup.
    return printable(str(value)).replace("[", r"\[")


def _text(text: str) -> str:
    # File names may contain terminal escape codes, or bytes that are not UTF-8.
    return "\n".join(map(printable, text.split("\n")))
