"""How lists of the pages look."""

from qtpy.QtWidgets import QHeaderView, QTreeWidget

_STYLE = "QTreeWidget::item { padding: 3px 2px; }"
_MOST_ROWS = 8


def prepare_list(tree: QTreeWidget) -> None:
    """Make a flat list: the first column takes the room that others leave."""
    tree.setRootIsDecorated(False)
    tree.setUniformRowHeights(True)
    tree.setStyleSheet(_STYLE)
    header = tree.header()
    header.setStretchLastSection(False)
    header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
    for column in range(1, tree.columnCount()):
        header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)


def fit_height(tree: QTreeWidget) -> None:
    """Give a list the height of its rows, eight at most; hidden without rows."""
    count = tree.topLevelItemCount()
    tree.setVisible(count > 0)
    if not count:
        return
    row = max(tree.sizeHintForRow(0), tree.fontMetrics().height() + 6)
    header = 0 if tree.isHeaderHidden() else tree.header().sizeHint().height()
    tree.setFixedHeight(min(count, _MOST_ROWS) * row + header + 6)
