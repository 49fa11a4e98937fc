"""A sentence below a field of a form."""

from collections.abc import Callable

from qtpy.QtWidgets import QFormLayout, QLabel, QWidget

from napari_segmix.widgets.config_form import ConfigForm
from napari_segmix.widgets.elements import hint
from segmix_core.licenses import find_license, license_note


def note_below(field: QWidget) -> QLabel:
    """Return a quiet label in a row of its own, below ``field``'s; hidden for now."""
    rows: QFormLayout = field.parentWidget().layout()
    row, _ = rows.getWidgetPosition(field)
    note = hint()
    rows.insertRow(row + 1, note)
    note.hide()
    return note


def license_below(form: ConfigForm, field: str, network: Callable[[], str]) -> QLabel:
    """Return a label below a field with the license of a network's weights.

    Parameters
    ----------
    form, field
        The form, and the dotted name of the field.
    network
        Whose published weights the form asks for; empty: none. Asked at each change.
    """
    note = note_below(form.widget(field).native)

    def show() -> None:
        name = network()
        text = license_note(name, find_license(name)) if name else ""
        note.setText(text)
        note.setVisible(bool(text))

    form.changed.connect(show)
    show()
    return note
