"""Which snapshot to restore, and where a repaired copy goes."""

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QDateTime, QLocale, Qt
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QMessageBox,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_segmix.widgets.elements import hint, prepare_list
from napari_segmix.widgets.run_texts import size_text
from segmix_core.project.repair import repaired_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segmix_core.project.snapshots import Snapshot

_NAME = Qt.ItemDataRole.UserRole
_BEFORE = "before-restore-"


class SnapshotDialog(QDialog):
    """A list of snapshots of which one can be chosen."""

    def __init__(
        self, snapshots: "Sequence[Snapshot]", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._snapshots = tuple(snapshots)
        self.setWindowTitle("Snapshots")
        self.setMinimumWidth(460)
        self.list = QTreeWidget()
        self.list.setColumnCount(3)
        self.list.setHeaderLabels(["Day", "Time", "Size"])
        prepare_list(self.list)
        for entry in self._snapshots:
            self.list.addTopLevelItem(_item(entry))
        kinds = QDialogButtonBox.StandardButton
        self.buttons = QDialogButtonBox(kinds.Ok | kinds.Cancel)
        self.buttons.button(kinds.Ok).setText("Restore…")
        self.buttons.button(kinds.Cancel).setText("Close")
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        self.list.itemSelectionChanged.connect(self._enable)
        column = QVBoxLayout(self)
        column.addWidget(
            hint(
                "SegMix takes a snapshot before the first change of each day and "
                "keeps ten. Restoring one saves the current state as a snapshot."
                if self._snapshots
                else "There are no snapshots yet. SegMix takes one before the first "
                "change of each day."
            )
        )
        column.addWidget(self.list)
        column.addWidget(self.buttons)
        self._enable()

    def _enable(self) -> None:
        ok = self.buttons.button(QDialogButtonBox.StandardButton.Ok)
        ok.setEnabled(self.chosen is not None)

    @property
    def chosen(self) -> "Snapshot | None":
        """The snapshot that is selected."""
        items = self.list.selectedItems()
        if not items:
            return None
        name = items[0].data(0, _NAME)
        return next(entry for entry in self._snapshots if entry.name == name)


def ask_snapshot(parent: QWidget, snapshots: "Sequence[Snapshot]") -> "Snapshot | None":
    """Let the user choose a snapshot and confirm; None when canceled."""
    dialog = SnapshotDialog(snapshots, parent)
    accepted, chosen = dialog.exec(), dialog.chosen
    dialog.deleteLater()
    if not accepted or chosen is None:
        return None
    question = (
        f"Restore the project to {moment(chosen)}? Later changes are removed from the "
        "project; the current state is kept as a snapshot."
    )
    box = QMessageBox(QMessageBox.Icon.Question, "Restore", question, parent=parent)
    restore = box.addButton("Restore", QMessageBox.ButtonRole.AcceptRole)
    box.addButton(QMessageBox.StandardButton.Cancel)
    box.exec()
    is_confirmed = box.clickedButton() is restore
    box.deleteLater()
    return chosen if is_confirmed else None


def ask_copy(parent: QWidget, project: Path) -> Path | None:
    """Let the user choose the folder of a repaired copy."""
    proposed = str(repaired_path(project))
    name, _ = QFileDialog.getSaveFileName(parent, "Repair into", proposed)
    return Path(name) if name else None


def moment(snapshot: "Snapshot") -> str:
    """Return day and time of a snapshot in the user's way to write them."""
    return f"{_day(snapshot)}, {_time(snapshot)}"


def _item(snapshot: "Snapshot") -> QTreeWidgetItem:
    note = ", before a restore" if snapshot.name.startswith(_BEFORE) else ""
    texts = [_day(snapshot) + note, _time(snapshot), size_text(snapshot.size)]
    item = QTreeWidgetItem(texts)
    item.setData(0, _NAME, snapshot.name)
    item.setToolTip(0, str(snapshot.path))
    item.setTextAlignment(2, Qt.AlignmentFlag.AlignRight)
    return item


def _day(snapshot: "Snapshot") -> str:
    return str(
        QLocale().toString(_made(snapshot).date(), QLocale.FormatType.LongFormat)
    )


def _time(snapshot: "Snapshot") -> str:
    return str(
        QLocale().toString(_made(snapshot).time(), QLocale.FormatType.ShortFormat)
    )


def _made(snapshot: "Snapshot") -> QDateTime:
    return QDateTime.fromSecsSinceEpoch(int(snapshot.made.timestamp()))
