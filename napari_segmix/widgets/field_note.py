"""A sentence below a field of a form."""

from qtpy.QtWidgets import QFormLayout, QLabel, QWidget

from napari_segmix.widgets.page import hint


def note_below(field: QWidget) -> QLabel:
    """Return a quiet label in a row of its own, below ``field``'s; hidden for now."""
    rows: QFormLayout = field.parentWidget().layout()
    row, _ = rows.getWidgetPosition(field)
    note = hint()
    rows.insertRow(row + 1, note)
    note.hide()
    return note
