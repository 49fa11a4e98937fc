from napari_segmix.widgets.choice_row import ChoiceRow

CHOICES = {"a": "One", "b": "Two", "c": "Three"}


def test_columns_put_the_rest_below(qtbot):
    rows = []
    for columns in (None, 2):
        widget = ChoiceRow(CHOICES, columns=columns)
        qtbot.addWidget(widget)
        layout = widget.layout()
        rows.append([layout.getItemPosition(n)[:2] for n in range(3)])
    assert rows[0] == [(0, 0), (0, 1), (0, 2)]
    assert rows[1] == [(0, 0), (0, 1), (1, 0)]
