"""Write docs/api.md from the docstrings of the public names of ``segmix_core``.

Run it after a docstring has changed; a test compares the page with them.
"""

import inspect
import re
from pathlib import Path

from pydantic import BaseModel

import segmix_core

PAGE = Path(__file__).parents[1] / "docs" / "api.md"
_INTRODUCTION = """\
# Python API

Written by `scripts/api_page.py` from the docstrings. In the examples, `sx` is
`segmix_core`, `np` is NumPy and `folder` is an empty folder; they run as tests.

```python
import segmix_core as sx
```
"""
_SECTIONS = "Parameters|Attributes|Returns|Yields|Raises|Notes|Examples|See Also"
_ROLE = re.compile(r":\w+:`~?([\w.]+)`")


def make_page() -> str:
    """Return the page as Markdown."""
    names = segmix_core.__all__
    contents = [f"- [`{name}`](#{name.lower()})" for name in names]
    parts = [_INTRODUCTION, "\n".join(contents) + "\n"]
    parts += [_describe(name, getattr(segmix_core, name)) for name in names]
    return "\n".join(parts)


def _describe(name: str, thing: object) -> str:
    parts = [f"## {name}\n", _as_markdown(inspect.getdoc(thing) or "")]
    if inspect.isfunction(thing):
        parts.insert(1, _signature(name, thing))
    elif inspect.isclass(thing):
        if issubclass(thing, BaseModel):
            parts.append(_settings(thing))
        parts += [
            _describe_member(name, member, value)
            for member, value in vars(thing).items()
            if not member.startswith("_") and _is_described(value)
        ]
    return "\n".join(parts)


def _settings(model: type[BaseModel]) -> str:
    """Return the fields of settings with defaults and descriptions as a table."""
    lines = ["| Setting | Default | Meaning |", "| --- | --- | --- |"]
    for name, field in model.model_fields.items():
        if field.description:
            words = field.description.replace("|", "\\|")
            lines.append(f"| `{name}` | `{field.get_default()!r}` | {words} |")
    return "\n".join(lines) + "\n"


def _is_described(value: object) -> bool:
    is_member = isinstance(value, (property, classmethod)) or inspect.isfunction(value)
    return is_member and bool(inspect.getdoc(value))


def _describe_member(owner: str, name: str, value: object) -> str:
    text = _as_markdown(inspect.getdoc(value) or "")
    if isinstance(value, property):
        return f"### {owner}.{name}\n\n{text}"
    function = value.__func__ if isinstance(value, classmethod) else value
    return f"### {owner}.{name}\n\n{_signature(name, function)}\n{text}"


def _signature(name: str, function: object) -> str:
    assert callable(function)
    parameters = inspect.signature(function).parameters.values()
    shown = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in parameters
        if parameter.name not in ("self", "cls")
    ]
    text = str(inspect.Signature(shown))
    if len(text) > 80:
        text = "(\n    " + text[1:-1].replace(", ", ",\n    ") + ",\n)"
    return f"```python\n{name}{text}\n```\n"


def _as_markdown(docstring: str) -> str:
    """Return a numpy docstring with its sections as Markdown."""
    head, *sections = re.split(rf"^({_SECTIONS})\n-+\n", docstring, flags=re.MULTILINE)
    parts = [_text(head)]
    for title, body in zip(sections[::2], sections[1::2], strict=True):
        if title == "Examples":
            parts.append(f"**Examples**\n\n{_examples(body)}")
        elif title == "Notes":
            parts.append(f"**Notes**\n\n{_text(body)}")
        else:
            parts.append(f"**{title}**\n\n{_items(body)}")
    return "\n".join(parts)


def _text(text: str) -> str:
    plain = _ROLE.sub(r"`\1`", text).replace("``", "`").strip()
    return plain + "\n"


def _items(body: str) -> str:
    """Return "name, indented text" pairs as a list."""
    items = re.split(r"^(?=\S)", body.strip(), flags=re.MULTILINE)
    lines = []
    for item in filter(None, items):
        name, _, text = item.partition("\n")
        words = " ".join(_text(inspect.cleandoc(text)).split())
        lines.append(f"- `{name.strip()}`: {words}" if words else f"- {_text(name)}")
    return "\n".join(lines) + "\n"


def _examples(body: str) -> str:
    """Return runs of prompts and answers as code, and what stands between as text."""
    parts = []
    for block in re.split(r"\n\s*\n", body.strip()):
        is_code = block.startswith(">>>")
        parts.append(f"```python\n{block}\n```\n" if is_code else _text(block))
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(make_page(), encoding="utf-8")
