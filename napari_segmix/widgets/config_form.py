"""A form made from the sections of :class:`segmix_core.settings.RunSettings`."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QLabel, QVBoxLayout, QWidget

from napari_segmix.widgets.elements import collapsible
from napari_segmix.widgets.form_fields import (
    as_text,
    field_label,
    field_widget,
    is_typed,
    parse_text,
)
from segmix_core.errors import ConfigError
from segmix_core.methods import DEFAULT_METHOD, METHODS, Settings
from segmix_core.settings import RunSettings

if TYPE_CHECKING:
    from magicgui.widgets.bases import ValueWidget

_TRAIN = "train"
_LABEL_WIDTH = 120


class ConfigForm(QWidget):
    """Sections of the run settings as a form, everyday fields first.

    Of the section "train" the fields of one method are shown, see :attr:`method`.

    Parameters
    ----------
    sections
        Names of fields of :class:`RunSettings`, in the order to show.
    everyday
        Dotted names ("machine.device") shown at once; the rest is under "More".
    of_masks
        Sections that count only where the method learns from masks.
    """

    changed = Signal()

    def __init__(
        self,
        sections: Sequence[str],
        everyday: Sequence[str] = (),
        of_masks: Sequence[str] = (),
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._sections, self._of_masks = tuple(sections), tuple(of_masks)
        self._method = DEFAULT_METHOD
        self._fields = {
            name: info
            for section in sections
            for name, info in _section_fields(section).items()
        }
        self._widgets = {
            name: field_widget(name.partition(".")[2], info)
            for name, info in self._fields.items()
        }
        unknown = set(everyday) - set(self._widgets)
        if unknown:
            raise ValueError(f"Expected fields of {sections}, got {sorted(unknown)}")
        self._labels: dict[str, QLabel] = {}
        self._titles: dict[str, QLabel] = {}
        self._error = QLabel(objectName="formError", wordWrap=True)
        self._error.setStyleSheet("color: #e5684f;")
        self._build(everyday)
        self._take_defaults_of(self._method)
        self._show_fields()
        for widget in self._widgets.values():
            widget.changed.connect(self._refresh)
        self._refresh()

    @property
    def method(self) -> str:
        """Name of the method whose fields are shown."""
        return self._method

    @method.setter
    def method(self, name: str) -> None:
        # What was typed stays; what was left at its default gets the new one.
        untouched = [
            field
            for field, info in _method_fields(self._method).items()
            if field in _method_fields(name) and self._value(field) == info.default
        ]
        self._method = name
        self._take_defaults_of(name, untouched)
        self._show_fields()
        self._refresh()

    def widget(self, name: str) -> "ValueWidget[Any]":
        """Return the magicgui widget of a field, by dotted name."""
        return self._widgets[name]

    def shown_fields(self) -> tuple[str, ...]:
        """Return the dotted names of the fields that count for the method."""
        return tuple(name for name in self._widgets if self._counts(name))

    def values(self) -> dict[str, Any]:
        """Return the content of the form: dotted name -> value, not yet validated."""
        found = {name: self._value(name) for name in self.shown_fields()}
        if _TRAIN in self._sections:
            found[f"{_TRAIN}.method"] = self._method
        return found

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Show values by dotted name; names that the form lacks are left out."""
        for name, value in values.items():
            widget = self._widgets.get(name)
            if widget is not None:
                typed = is_typed(widget)
                widget.value = as_text(value) if typed else value

    def set_config(self, config: RunSettings) -> None:
        """Show the settings of an earlier run."""
        if _TRAIN in self._sections:
            self.method = config.train.method
        content = config.model_dump()
        self.set_values(
            {
                f"{section}.{name}": value
                for section, fields in content.items()
                for name, value in fields.items()
            }
        )

    def config(self, extra: Mapping[str, Any] | None = None) -> RunSettings:
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
            return RunSettings.model_validate(content)
        except ValidationError as error:
            raise _as_config_error(error) from error

    @property
    def error(self) -> str:
        """What is wrong, in one sentence; empty if the settings can be used."""
        return str(self._error.text())

    def _build(self, everyday: Sequence[str]) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self._rows(everyday))
        content = QWidget()
        more = QVBoxLayout(content)
        more.setContentsMargins(0, 0, 0, 0)
        for section in self._sections:
            rest = [
                name
                for name in self._widgets
                if name.startswith(f"{section}.") and name not in everyday
            ]
            if rest:
                title = QLabel(f"<b>{field_label(section)}</b>")
                title.setToolTip(_first_sentence(section))
                self._titles[section] = title
                more.addWidget(title)
                more.addWidget(self._rows(rest))
        layout.addWidget(collapsible("More", content))
        layout.addWidget(self._error)

    def _rows(self, names: Sequence[str]) -> QWidget:
        rows = QWidget()
        layout = QFormLayout(rows)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for name in names:
            widget = self._widgets[name]
            self._labels[name] = label = QLabel(widget.label)
            label.setToolTip(widget.tooltip)
            label.setMinimumWidth(_LABEL_WIDTH)
            layout.addRow(label, widget.native)
        return rows

    def _take_defaults_of(
        self, method: str, names: Sequence[str] | None = None
    ) -> None:
        """Show the method's defaults, of some fields or of all."""
        fields = _method_fields(method)
        wanted = fields if names is None else names
        self.set_values({name: fields[name].default for name in wanted})

    def _show_fields(self) -> None:
        for name, label in self._labels.items():
            counts = self._counts(name)
            label.setVisible(counts)
            self._widgets[name].native.setVisible(counts)
        for section, title in self._titles.items():
            title.setVisible(section not in self._of_masks or self._learns_from_masks)

    def _has(self, name: str) -> bool:
        """Whether the settings of the method have a field of the form."""
        return not name.startswith(f"{_TRAIN}.") or name in _method_fields(self._method)

    def _counts(self, name: str) -> bool:
        section = name.partition(".")[0]
        is_used = section not in self._of_masks or self._learns_from_masks
        return is_used and self._has(name)

    @property
    def _learns_from_masks(self) -> bool:
        return METHODS[self._method]().learns_from_masks

    def _value(self, name: str) -> Any:
        widget = self._widgets[name]
        return (
            widget.value
            if not is_typed(widget)
            else parse_text(self._fields[name], widget.value)
        )

    def _refresh(self) -> None:
        try:
            self.config()
        except ConfigError as error:
            self._error.setText(str(error))
        else:
            self._error.setText("")
        self._error.setVisible(bool(self._error.text()))
        self.changed.emit()


def _section_fields(section: str) -> dict[str, FieldInfo]:
    """Return the fields of a section by dotted name; of "train" those of all methods.

    Fields of the same name are alike in all methods that have them, but for defaults.
    """
    models: Sequence[type[Settings]] = (
        list(METHODS.values()) if section == _TRAIN else [_section_model(section)]
    )
    return {
        f"{section}.{name}": model.model_fields[name]
        for model in models
        for name in model.fields()
    }


def _method_fields(method: str) -> dict[str, FieldInfo]:
    model = METHODS[method]
    return {f"{_TRAIN}.{name}": model.model_fields[name] for name in model.fields()}


def _section_model(section: str) -> type[Settings]:
    model = RunSettings.model_fields[section].annotation
    assert isinstance(model, type)
    assert issubclass(model, Settings)
    return model


def _first_sentence(section: str) -> str:
    if section == _TRAIN:
        return "How the classifier is trained."
    return (_section_model(section).__doc__ or "").strip().partition("\n")[0]


def _as_config_error(error: ValidationError) -> ConfigError:
    first = error.errors()[0]
    where = [str(part) for part in first["loc"] if isinstance(part, str)]
    # Below "train" stands the method, which is no field.
    if where[:1] == [_TRAIN]:
        del where[1:2]
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
    names = {
        name.partition(".")[2]
        for section in RunSettings.fields()
        for name in _section_fields(section)
    }
    # "patch_sizes" before "patch_size", which it begins with.
    return sorted(names, key=len, reverse=True)
