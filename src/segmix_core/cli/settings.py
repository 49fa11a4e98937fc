"""Settings on the command line: flags, ``--set``, ``--config``, and their help.

All texts come from :mod:`segmix_core.settings`.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import annotated_types as limits
import typer
from pydantic.fields import FieldInfo

from segmix_core.disk_errors import reason_of
from segmix_core.errors import ConfigError
from segmix_core.files import JsonError, parse_json, read_json
from segmix_core.methods import DEFAULT_METHOD, METHODS, MethodSettings, Settings
from segmix_core.settings import RunSettings


def build_config(
    flags: Mapping[str, object],
    assignments: Sequence[str],
    file: Path | None,
    defaults: Mapping[str, object] | None = None,
) -> RunSettings:
    """Return the settings of a run.

    Parameters
    ----------
    flags
        Dotted setting to value; None keeps the default.
    assignments
        Texts of the form ``section.field=value``; override flags.
    file
        JSON file of settings, or the ``config.json`` of an earlier run; flags and
        assignments override it.
    defaults
        Dotted setting to value, for settings not given otherwise.

    Raises
    ------
    ConfigError
        If a setting or the file is invalid.
    """
    content = _read(file) if file else {}
    changes = {
        name: value
        for name, value in (defaults or {}).items()
        if not _says(content, name)
    }
    changes |= {name: value for name, value in flags.items() if value is not None}
    changes |= dict(parse_assignment(text) for text in assignments)
    return RunSettings.parse(content).replace(changes)


def _says(content: Mapping[str, Any], name: str) -> bool:
    section, _, field = name.partition(".")
    part = content.get(section)
    return isinstance(part, Mapping) and field in part


def parse_assignment(text: str) -> tuple[str, Any]:
    """Parse ``section.field=value`` into the dotted name and the value.

    The value is JSON; anything else is taken as text.

    Raises
    ------
    ConfigError
        If the text does not have this form.
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(
            f"{text!r} is not a setting of the form section.field=value.",
            "An example is --set train.epochs=4.",
        )
    try:
        return name.strip(), parse_json(value.encode("utf-8", "surrogateescape"))
    except JsonError:
        return name.strip(), value


def flag(name: str) -> Any:
    """Return a typer option with the help text of a dotted setting."""
    return typer.Option(help=_text(name), show_default=False)


def settings_help(*sections: str) -> str:
    """List the settings of some sections with default, range and description."""
    lines = ["[bold]Settings[/bold] for --set and --config:"]
    for section in sections:
        fields = _models(section)[0].fields()
        lines += [_line(f"{section}.{field}") for field in fields]
    return "\n\n".join(lines)


def training_help() -> str:
    """List the training settings: common ones first, then by method."""
    lines = ["[bold]Settings[/bold] for --set and --config, common ones first:"]
    everyday = MethodSettings.everyday
    lines += [_line(f"train.{field}") for field in ("method", *everyday)]
    lines.append("[bold]Other settings of all methods:[/bold]")
    common = MethodSettings.fields()
    lines += [_line(f"train.{field}") for field in common if field not in everyday]
    for owners, fields in _own_fields().items():
        lines.append(f"[bold]Only in {', '.join(owners)}:[/bold]")
        lines += [_line(f"train.{field}") for field in fields]
    lines.append("[bold]The machine:[/bold]")
    lines += [_line(f"machine.{field}") for field in _models("machine")[0].fields()]
    return "\n\n".join(lines)


def _own_fields() -> dict[tuple[str, ...], list[str]]:
    """Return the fields that only some methods have, by these methods."""
    owners: dict[str, list[str]] = {}
    for name, method in METHODS.items():
        for field in method.fields():
            if field not in MethodSettings.model_fields:
                owners.setdefault(field, []).append(name)
    found: dict[tuple[str, ...], list[str]] = {}
    for field, names in owners.items():
        found.setdefault(tuple(names), []).append(field)
    return found


def _line(name: str) -> str:
    return f"[cyan]{name}[/cyan] {_text(name)}"


def _text(name: str) -> str:
    section, _, field = name.partition(".")
    if name == "train.method":
        return (
            "How the classifier learns; each method has settings of its own. "
            f"({' | '.join(METHODS)}; default {DEFAULT_METHOD})"
        )
    infos = {
        model.title: model.model_fields[field]
        for model in _models(section)
        if field in model.model_fields
    }
    info = next(iter(infos.values()))
    allowed = _choices(info.annotation) or _range(info)
    facts = "; ".join(text for text in (allowed, _defaults(infos)) if text)
    return rf"{info.description} ({facts})"


def _models(section: str) -> list[type[Settings]]:
    if section == "train":
        return list(METHODS.values())
    return [type(getattr(RunSettings(), section))]


def _defaults(infos: Mapping[str, FieldInfo]) -> str:
    """Return the default, and the methods with a different one."""
    first, *_ = shown = {title: _show(info.default) for title, info in infos.items()}
    others = [
        f"{value} in {title}" for title, value in shown.items() if value != shown[first]
    ]
    return ", ".join([f"default {shown[first]}", *others])


def _choices(annotation: Any) -> str:
    # An optional choice is a union with None.
    for kind in (annotation, *get_args(annotation)):
        if get_origin(kind) is Literal:
            return " | ".join(str(choice) for choice in get_args(kind))
    return ""


def _range(info: FieldInfo) -> str:
    low = high = ""
    for limit in info.metadata:
        match limit:
            case limits.Ge(ge=value):
                low = f">= {value}"
            case limits.Gt(gt=value):
                low = f"> {value}"
            case limits.Le(le=value):
                high = f"<= {value}"
    if low.startswith(">=") and high:
        return f"{low[3:]}..{high[3:]}"
    return " and ".join(part for part in (low, high) if part)


def _show(value: object) -> str:
    # Rich interprets square brackets as markup.
    shown = "empty" if value is None else json.dumps(value)
    return shown.strip('"').replace("[", r"\[")


def _read(file: Path) -> dict[str, Any]:
    try:
        content = read_json(file)
    except (OSError, JsonError) as error:
        raise ConfigError(
            f"The settings in {file} cannot be read ({reason_of(error)}).",
            "Give a JSON file of settings or the config.json of a run.",
        ) from error
    # The config.json of a run has the settings in one of its fields.
    if isinstance(content, dict) and "stage" in content:
        content = content.get("config")
    if not isinstance(content, dict):
        raise ConfigError(
            f"{file} contains no settings.", 'An example is {"train": {"epochs": 4}}.'
        )
    return content
