"""Questions to the user, each a function or a small dialog."""

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_segmix.widgets.elements import hint
from segmix_core.geometry import MAX_MPP, MIN_MPP
from segmix_core.slides.dicom import DICOM_SUFFIXES
from segmix_core.slides.image_folder import SCANNER_SUFFIXES, TILE_SUFFIXES

SUFFIX = ".segmix"
_IMAGE_SUFFIXES = sorted(SCANNER_SUFFIXES | DICOM_SUFFIXES | TILE_SUFFIXES)
_IMAGES = (
    f"Slides and images ({' '.join(f'*{suffix}' for suffix in _IMAGE_SUFFIXES)});;"
    "All files (*)"
)
_TABLES = "Tables (*.csv *.tsv *.txt *.jsonl);;All files (*)"


def ask_images(parent: QWidget) -> list[Path]:
    """Let the user choose slides and images; empty when canceled."""
    names, _ = QFileDialog.getOpenFileNames(parent, "Add slides", "", _IMAGES)
    return [Path(name) for name in names]


def ask_table(parent: QWidget) -> Path | None:
    """Let the user choose a table of labels."""
    name, _ = QFileDialog.getOpenFileName(parent, "Import labels", "", _TABLES)
    return Path(name) if name else None


def ask_folder(parent: QWidget, title: str) -> Path | None:
    """Let the user choose a folder."""
    name = QFileDialog.getExistingDirectory(parent, title)
    return Path(name) if name else None


class NewProjectDialog(QDialog):
    """Where the project lies and what its classes are."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("New project")
        self.setMinimumWidth(460)
        self.name = QLineEdit("My project")
        self.folder = QLineEdit(str(Path.home()))
        self.classes = QLineEdit()
        self.classes.setPlaceholderText("for example: gland, stroma, lymphoid")
        browse = QPushButton("Choose…")
        browse.clicked.connect(self._browse)
        place = QHBoxLayout()
        place.addWidget(self.folder, 1)
        place.addWidget(browse)
        form = QFormLayout()
        form.addRow("Name", self.name)
        form.addRow("In folder", place)
        form.addRow("Classes", self.classes)
        self._buttons = _ok_cancel(self, "Create project")
        column = QVBoxLayout(self)
        column.addLayout(form)
        column.addWidget(
            hint(
                "Classes are what tiles are labeled with, separated by commas. A tile "
                "may have several. You can rename them and add more later."
            )
        )
        column.addWidget(self._buttons)
        self.name.textChanged.connect(self._check)
        self.classes.textChanged.connect(self._check)
        self._check()

    def _browse(self) -> None:
        chosen = ask_folder(self, "Folder for the project")
        if chosen is not None:
            self.folder.setText(str(chosen))

    def _check(self) -> None:
        is_complete = bool(self.name.text().strip() and self.class_names)
        ok = self._buttons.button(QDialogButtonBox.StandardButton.Ok)
        ok.setEnabled(is_complete)

    @property
    def class_names(self) -> list[str]:
        """The names between the commas."""
        names = (name.strip() for name in self.classes.text().split(","))
        return [name for name in names if name]

    @property
    def path(self) -> Path:
        """The project folder."""
        name = self.name.text().strip().removesuffix(SUFFIX)
        return Path(self.folder.text()).expanduser() / f"{name}{SUFFIX}"


class PixelSizeDialog(QDialog):
    """How large a pixel is, for slides that do not say it."""

    def __init__(
        self, names: Sequence[str], mpp: float | None, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Pixel size")
        self.setMinimumWidth(420)
        self.mpp = QDoubleSpinBox()
        self.mpp.setDecimals(4)
        self.mpp.setRange(MIN_MPP, MAX_MPP)
        self.mpp.setSingleStep(0.05)
        self.mpp.setSuffix(" µm per pixel")
        self.mpp.setValue(mpp or 0.25)
        column = QVBoxLayout(self)
        question = QLabel(f"{_listed(names)} not say how large a pixel is.")
        question.setWordWrap(True)
        column.addWidget(question)
        column.addWidget(self.mpp)
        column.addWidget(
            hint(
                "About 0.25 for a 40x scan and 0.5 for 20x. Without it everything "
                "works in pixels and there is no scale bar."
            )
        )
        buttons = _ok_cancel(self, "Use this size")
        unknown = buttons.addButton(
            "It is not known", QDialogButtonBox.ButtonRole.ActionRole
        )
        unknown.clicked.connect(lambda: self.done(self.NOT_KNOWN))
        column.addWidget(buttons)

    NOT_KNOWN = 2
    """Result of the dialog, beside accepted and rejected."""


def _listed(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"{names[0]} does"
    return f"{names[0]} and {len(names) - 1} more do"


def _ok_cancel(dialog: QDialog, ok: str) -> QDialogButtonBox:
    kinds = QDialogButtonBox.StandardButton
    buttons = QDialogButtonBox(kinds.Ok | kinds.Cancel)
    buttons.button(kinds.Ok).setText(ok)
    buttons.accepted.connect(dialog.accept)
    buttons.rejected.connect(dialog.reject)
    return buttons
