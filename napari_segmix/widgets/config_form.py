"""A form made from the sections of :class:`segmix_core.config.RunConfig`.

Ranges, choices, defaults and help come from the fields; nothing is repeated here.
"""

import math
from collections.abc import Mapping, Sequence
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from magicgui.widgets import create_widget
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QLabel, QVBoxLayout, QWidget

from napari_segmix.widgets.page import collapsible
from segmix_core.config import RunConfig
from segmix_core.errors import ConfigError

if TYPE_CHECKING:
    from magicgui.widgets.bases import ValueWidget

_SHOWN_WORDS = {
    "er": "ER",
    "ecr": "ECR",
    "mpp": "MPP",
    "normalisation": "normalization",
}
_UNITS = {"px": "px", "um2": "µm²"}
_LABEL_WIDTH = 120
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
    widget = create_widget(_as_text(info.default), str, options=options, **shared)
    widget.native.setPlaceholderText("automatic" if _is_optional(kind) else "")
    return widget


class ConfigForm(QWidget):
    """Sections of the run settings as a form, everyday fields first.

    Parameters
    ----------
    sections
        Names of fields of :class:`RunConfig`, in the order to show.
    everyday
        Dotted names ("train.epochs") shown at once; the rest is under "Advanced".
    hidden
        Dotted names that the page shows in a way of its own.
    """

    changed = Signal()

    def __init__(
        self,
        sections: Sequence[str],
        everyday: Sequence[str] = (),
        hidden: Sequence[str] = (),
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._widgets = {
            f"{section}.{name}": field_widget(name, info)
            for section in sections
            for name, info in _section_model(section).model_fields.items()
            if f"{section}.{name}" not in hidden
        }
        unknown = set(everyday) - set(self._widgets)
        if unknown:
            raise ValueError(f"Expected fields of {sections}, got {sorted(unknown)}")
        self._error = QLabel(objectName="formError", wordWrap=True)
        self._error.setStyleSheet("color: #e5684f;")
        self._build(sections, everyday)
        for widget in self._widgets.values():
            widget.changed.connect(self._refresh)
        self._refresh()

    def widget(self, name: str) -> "ValueWidget[Any]":
        """Return the magicgui widget of a field, by dotted name."""
        return self._widgets[name]

    def values(self) -> dict[str, Any]:
        """Return the content of the form: dotted name -> value, not yet validated."""
        return {name: self._value(name) for name in self._widgets}

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Show values by dotted name; names that the form lacks are left out."""
        for name, value in values.items():
            widget = self._widgets.get(name)
            if widget is not None:
                typed = _is_typed(widget)
                widget.value = _as_text(value) if typed else value

    def set_config(self, config: RunConfig) -> None:
        """Show the settings of an earlier run."""
        content = config.model_dump()
        self.set_values(
            {
                f"{section}.{name}": value
                for section, fields in content.items()
                for name, value in fields.items()
            }
        )

    def config(self, extra: Mapping[str, Any] | None = None) -> RunConfig:
        """Return the settings; fields that the form lacks keep their defaults.

        Parameters
        ----------
        extra
            Values of fields that the form does not show, by dotted name.

        Raises
        ------
        ConfigError
            In one sentence with the label of the field.
        """
        content: dict[str, dict[str, Any]] = {}
        for name, value in {**self.values(), **(extra or {})}.items():
            section, _, field = name.partition(".")
            content.setdefault(section, {})[field] = value
        try:
            return RunConfig.model_validate(content)
        except ValidationError as error:
            raise _as_config_error(error) from error

    @property
    def error(self) -> str:
        """What is wrong, in one sentence; empty if the settings can be used."""
        return str(self._error.text())

    def _build(self, sections: Sequence[str], everyday: Sequence[str]) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self._rows([self._widgets[name] for name in everyday]))
        content = QWidget()
        advanced = QVBoxLayout(content)
        advanced.setContentsMargins(0, 0, 0, 0)
        for section in sections:
            rest = [
                widget
                for name, widget in self._widgets.items()
                if name.startswith(f"{section}.") and name not in everyday
            ]
            if rest:
                title = QLabel(f"<b>{field_label(section)}</b>")
                title.setToolTip(_first_sentence(_section_model(section)))
                advanced.addWidget(title)
                advanced.addWidget(self._rows(rest))
        layout.addWidget(collapsible("Advanced", content))
        layout.addWidget(self._error)

    def _rows(self, widgets: "list[ValueWidget[Any]]") -> QWidget:
        rows = QWidget()
        layout = QFormLayout(rows)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for widget in widgets:
            label = QLabel(widget.label)
            label.setToolTip(widget.tooltip)
            label.setMinimumWidth(_LABEL_WIDTH)
            layout.addRow(label, widget.native)
        return rows

    def _value(self, name: str) -> Any:
        widget = self._widgets[name]
        return widget.value if not _is_typed(widget) else _parse(name, widget.value)

    def _refresh(self) -> None:
        try:
            self.config()
        except ConfigError as error:
            self._error.setText(str(error))
        else:
            self._error.setText("")
        self._error.setVisible(bool(self._error.text()))
        self.changed.emit()


def _section_model(section: str) -> type[BaseModel]:
    model = RunConfig.model_fields[section].annotation
    assert isinstance(model, type)
    assert issubclass(model, BaseModel)
    return model


def _first_sentence(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().partition("\n")[0]


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


def _is_typed(widget: "ValueWidget[Any]") -> bool:
    return bool(widget.widget_type == "LineEdit")


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple | list):
        return ", ".join(f"{entry:g}" for entry in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _parse(name: str, text: str) -> Any:
    """Return what pydantic can validate: None, a number, a tuple, or the text."""
    section, _, field = name.partition(".")
    kind = _section_model(section).model_fields[field].annotation
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


def _as_config_error(error: ValidationError) -> ConfigError:
    first = error.errors()[0]
    where = [str(part) for part in first["loc"] if isinstance(part, str)]
    message = first["msg"].removeprefix("Value error, ")
    if len(where) < 2:
        for name in _field_names():
            message = message.replace(name, f"'{field_label(name)}'")
        return ConfigError(
            f"Settings conflict: {message}.",
            "Change one of them.",
        )
    label = field_label(where[1])
    wanted = message.replace("Input should be ", "").partition(",")[0]
    got = repr(first["input"]) if first["input"] != "" else "nothing"
    return ConfigError(
        f"'{label}' is {got}; it must be {wanted}.",
        f"Change '{label}'.",
    )


def _field_names() -> list[str]:
    return [
        n
        for section in RunConfig.model_fields
        for n in _section_model(section).model_fields
    ]
