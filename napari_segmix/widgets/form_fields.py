"""One field of the settings as a widget: its label, its range, and its text.

Ranges, choices, defaults and help come from the field; nothing is repeated here.
"""

import math
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from magicgui.widgets import create_widget
from pydantic.fields import FieldInfo

if TYPE_CHECKING:
    from magicgui.widgets.bases import ValueWidget

_SHOWN_WORDS = {
    "er": "ER",
    "ecr": "ECR",
    "mpp": "MPP",
}
_UNITS = {"px": "px", "um2": "µm²"}
_LARGEST_INT = 2**31 - 1
_SMALLEST_SPIN_DEFAULT = 0.05
"""Below it a number is typed: learning rates have no useful step; 0 switches off."""


def field_label(name: str) -> str:
    """Return a field name as words: ``window_px`` becomes "Window (px)"."""
    words = name.split("_")
    unit = _UNITS.get(words[-1])
    words = words[:-1] if unit else words
    text = " ".join(_SHOWN_WORDS.get(word, word) for word in words)
    return text[:1].upper() + text[1:] + (f" ({unit})" if unit else "")


def field_widget(name: str, info: FieldInfo) -> "ValueWidget[Any]":
    """Return the magicgui widget of one field.

    Numbers in a useful range get a spin box, choices a combo box, switches a check
    box; optional values and tuples are typed, where empty means the default.
    """
    kind = info.annotation
    tooltip = f"{info.description or ''} {_range_text(info)}".strip()
    shared = {"name": name, "label": field_label(name)}
    options: dict[str, Any] = {"tooltip": tooltip}
    if get_origin(kind) is Literal or kind is bool:
        return create_widget(info.default, kind, options=options, **shared)
    if kind in (int, float) and _is_spinnable(info):
        options |= _spin_options(info)
        return create_widget(info.default, kind, options=options, **shared)
    widget = create_widget(as_text(info.default), str, options=options, **shared)
    widget.native.setPlaceholderText("automatic" if _is_optional(kind) else "")
    return widget


def _is_optional(kind: object) -> bool:
    return get_origin(kind) in (Union, UnionType) and NoneType in get_args(kind)


def _bounds(info: FieldInfo) -> dict[str, float]:
    names = ("ge", "gt", "le", "lt")
    found = ((n, getattr(m, n, None)) for m in info.metadata for n in names)
    return {name: float(value) for name, value in found if value is not None}


def _range_text(info: FieldInfo) -> str:
    signs = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    parts = [f"{signs[name]} {value:g}" for name, value in _bounds(info).items()]
    return f"({', '.join(parts)})" if parts else ""


def _is_spinnable(info: FieldInfo) -> bool:
    default = info.default
    return info.annotation is int or default == 0 or default >= _SMALLEST_SPIN_DEFAULT


def _spin_options(info: FieldInfo) -> dict[str, float]:
    bounds = _bounds(info)
    if info.annotation is int:
        low = bounds.get("ge", bounds.get("gt", 0) + 1)
        return {"min": int(low), "max": int(bounds.get("le", _LARGEST_INT)), "step": 1}
    # A share moves in hundredths; weights without an upper end in tenths.
    step = 0.01 if "le" in bounds else 0.1
    return {"min": bounds.get("ge", 0.0), "max": bounds.get("le", 1000.0), "step": step}


def is_typed(widget: "ValueWidget[Any]") -> bool:
    """Whether the value of a field is typed as text."""
    return bool(widget.widget_type == "LineEdit")


def as_text(value: Any) -> str:
    """Return a value as one types it; empty for None."""
    if value is None:
        return ""
    if isinstance(value, tuple | list):
        return ", ".join(f"{entry:g}" for entry in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def parse_text(info: FieldInfo, text: str) -> Any:
    """Return what pydantic can validate: None, a number, a tuple, or the text."""
    kind = info.annotation
    text = text.strip()
    if not text and _is_optional(kind):
        return None
    kinds = [k for k in get_args(kind) if k is not NoneType] or [kind]
    if any(get_origin(k) is tuple for k in (kind, *kinds)):
        return tuple(_number(part) for part in text.replace(",", " ").split())
    return text if kind is str else _number(text)


def _number(text: str) -> float | str:
    try:
        value = float(text)
    except ValueError:
        return text
    if not math.isfinite(value):
        return text
    return int(value) if value.is_integer() else value
