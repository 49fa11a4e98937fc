"""The native tools of the Labels layer, and ours, against the store."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.layers import Labels

from napari_segmix.layers.own_layers import find_layer
from napari_segmix.layers.tile_codes import BRUSH, TileCodes
from napari_segmix.layers.tile_mouse import TileMouse
from napari_segmix.model.label_edits import PaintMode
from napari_segmix.session import Session

ABSENT_GLASS = 0
"""Column of the slide without tiles."""


def tile_layer(session: Session) -> Labels:
    layer = find_layer(session.viewer, "tiles")
    assert isinstance(layer, Labels)
    return layer


def stored(session: Session) -> np.ndarray:
    """Labels as they are on disk, (4, 4, C): the grid without its glass column."""
    assert session.model.project.store is not None
    return session.model.project.store.tiles().labels.reshape(4, 4, -1)


def entries(session: Session) -> int:
    assert session.model.project.store is not None
    return session.model.project.store.revision


def test_brush_labels_tiles(slide_session: Session) -> None:
    layer = tile_layer(slide_session)
    slide_session.actions.labels.choose_class(2)
    before = entries(slide_session)
    with layer.block_history():
        layer.paint((1, 2), BRUSH, refresh=False)
        layer.paint((1, 3), BRUSH, refresh=False)
    assert stored(slide_session)[1, 1:3].tolist() == [[0, 1, 0]] * 2
    assert layer.data[1, 2:4].tolist() == [2, 2]
    assert entries(slide_session) == before + 1


def test_glass_reverts(slide_session: Session) -> None:
    layer = tile_layer(slide_session)
    before = entries(slide_session)
    layer.paint((1, ABSENT_GLASS), BRUSH)
    assert layer.data[1, ABSENT_GLASS] == 0
    assert entries(slide_session) == before


def test_numbers_that_mean_nothing_revert(slide_session: Session) -> None:
    layer = tile_layer(slide_session)
    layer.paint((1, 2), 77)
    assert not layer.data.any()


def test_fill_polygon_and_eraser(slide_session: Session) -> None:
    layer = tile_layer(slide_session)
    layer.fill((0, 2), BRUSH)
    assert (stored(slide_session)[..., 0] == 1).all()
    layer.paint_polygon([[-0.4, 0.6], [-0.4, 2.4], [1.4, 2.4], [1.4, 0.6]], 0)
    assert (stored(slide_session)[:2, :2] == -1).all()
    assert (stored(slide_session)[2:] == [1, 0, 0]).all()


def test_a_stroke_over_the_same_class_still_counts(slide_session: Session) -> None:
    slide_session.actions.labels.set_labels(
        np.array([0]), np.array([[1, -1, -1]], np.int8)
    )
    tile_layer(slide_session).paint((0, 1), BRUSH)
    assert stored(slide_session)[0, 0].tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (PaintMode.ADD, [1, 1, -1]),
        (PaintMode.REMOVE, [1, 0, -1]),
        (PaintMode.CLEAR, [-1, -1, -1]),
    ],
)
def test_modes(slide_session: Session, mode: PaintMode, expected: list[int]) -> None:
    labeling = slide_session.actions.labels
    labeling.set_labels(np.array([0]), np.array([[1, -1, -1]], np.int8))
    labeling.choose_class(2)
    labeling.choose_mode(mode)
    tile_layer(slide_session).paint((0, 1), BRUSH)
    assert stored(slide_session)[0, 0].tolist() == expected


def test_a_picked_set_of_classes_paints_that_set(slide_session: Session) -> None:
    slide_session.actions.labels.set_labels(
        np.array([0]), np.array([[1, 0, 1]], np.int8)
    )
    layer = tile_layer(slide_session)
    layer.selected_label = int(layer.data[0, 1])
    layer.paint((2, 2), layer.selected_label)
    assert stored(slide_session)[2, 1].tolist() == [1, 0, 1]


def test_a_class_chosen_in_the_layer_controls_is_the_brush(
    slide_session: Session,
) -> None:
    layer = tile_layer(slide_session)
    layer.selected_label = 3
    assert slide_session.model.labeling.active_class == 3
    assert layer.selected_label == BRUSH + 3


def test_napari_undo_does_not_bypass_the_journal(slide_session: Session) -> None:
    layer = tile_layer(slide_session)
    layer.paint((1, 2), BRUSH)
    layer.undo()
    # Whatever napari's own history does to the array, store and array agree.
    assert (layer.data[1, 2] == 1) == (stored(slide_session)[1, 1, 0] == 1)


def press(session: Session, key: str) -> None:
    layer = tile_layer(session)
    for bound, action in layer.keymap.items():
        if str(bound) == key:
            action(layer)
            return
    raise AssertionError(f"{key} is not bound, but {[str(k) for k in layer.keymap]}")


def test_keys(slide_session: Session) -> None:
    press(slide_session, "N")
    assert slide_session.model.labeling.current_tile == 0
    press(slide_session, "2")
    assert stored(slide_session)[0, 0].tolist() == [0, 1, 0]
    press(slide_session, "N")
    assert slide_session.model.labeling.current_tile == 1
    press(slide_session, "Shift+N")
    assert slide_session.model.labeling.current_tile == 15
    press(slide_session, "Ctrl+Z")
    assert stored(slide_session)[0, 0].tolist() == [-1, -1, -1]
    press(slide_session, "Ctrl+Shift+Z")
    assert stored(slide_session)[0, 0].tolist() == [0, 1, 0]
    slide_session.actions.labels.choose_tile(0)
    press(slide_session, "0")
    assert stored(slide_session)[0, 0].tolist() == [-1, -1, -1]


def test_digits_with_a_brush_in_hand_leave_the_tile(slide_session: Session) -> None:
    labeling = slide_session.actions.labels
    labeling.choose_tile(0)
    labeling.choose_tool("brush")
    assert slide_session.model.labeling.tool == "brush"
    press(slide_session, "3")
    press(slide_session, "0")
    assert slide_session.model.labeling.active_class == 3
    assert (stored(slide_session) == -1).all()


def test_a_digit_without_a_class_is_told(
    slide_session: Session, messages: list[tuple[str, str]]
) -> None:
    press(slide_session, "9")
    assert messages[-1] == ("There are 3 classes only.", "warning")


def own(callbacks: list[Any]) -> Any:
    """Return our callback; napari's tools come and go beside it."""
    owners = [getattr(callback, "__self__", None) for callback in callbacks]
    return callbacks[[type(owner) for owner in owners].index(TileMouse)]


def drag(
    session: Session,
    cells: list[tuple[int, int]],
    modifiers: tuple[str, ...] = (),
    on_move: Callable[[], object] = lambda: None,
    button: int = 1,
) -> None:
    """Press on the first cell, move over the others, release on the last."""
    layer, place = tile_layer(session), session.model.project.placement
    assert place is not None
    event: Any = SimpleNamespace(modifiers=modifiers, button=button)

    def move_to(cell: tuple[int, int], kind: str) -> None:
        y, x = ((index + 0.5) * place.pitch for index in cell)
        event.position = place.to_world(y, x)
        event.pos, event.type = (x, y), kind

    move_to(cells[0], "mouse_press")
    steps = own(layer.mouse_drag_callbacks)(layer, event)
    next(steps, None)
    for cell in cells[1:]:
        move_to(cell, "mouse_move")
        on_move()
        next(steps, None)
    event.type = "mouse_release"
    next(steps, None)


def test_shift_drag_labels_a_rectangle(slide_session: Session) -> None:
    before = entries(slide_session)
    drag(slide_session, [(0, 0), (1, 1), (2, 2)], ("Shift",))
    present = stored(slide_session)[..., 0] == 1
    assert present[:3, :2].all()
    assert present.sum() == 6
    assert entries(slide_session) == before + 1
    assert tile_layer(slide_session).mouse_pan


def test_a_rectangle_over_glass_says_nothing(slide_session: Session) -> None:
    before = entries(slide_session)
    drag(slide_session, [(0, 0), (3, 0)], ("Shift",))
    assert entries(slide_session) == before


def test_a_click_chooses_a_tile_and_a_drag_does_not(slide_session: Session) -> None:
    drag(slide_session, [(1, 2)])
    assert slide_session.model.labeling.current_tile == 5
    drag(slide_session, [(1, 2), (2, 3)])
    assert slide_session.model.labeling.current_tile == 5
    drag(slide_session, [(1, 0)])
    assert slide_session.model.labeling.current_tile is None
    drag(slide_session, [(1, 2)], button=2)
    assert slide_session.model.labeling.current_tile is None


def test_a_stroke_is_one_entry(slide_session: Session) -> None:
    layer = tile_layer(slide_session)
    slide_session.actions.labels.choose_tool("brush")
    before = entries(slide_session)
    cells = iter([(0, 1), (0, 2), (0, 3)])

    def paint_on() -> None:
        layer.data[next(cells)] = BRUSH
        layer.refresh()

    drag(slide_session, [(0, 1), (0, 2), (0, 3), (0, 4)], on_move=paint_on)
    assert entries(slide_session) == before + 1
    assert (stored(slide_session)[0, :3, 0] == 1).all()


def test_hover(slide_session: Session) -> None:
    layer, place = tile_layer(slide_session), slide_session.model.project.placement
    assert place is not None
    event = SimpleNamespace(position=place.to_world(70, 70))
    own(layer.mouse_move_callbacks)(layer, event)
    assert slide_session.model.labeling.hovered_tile == 4
    event.position = place.to_world(-70, 70)
    own(layer.mouse_move_callbacks)(layer, event)
    assert slide_session.model.labeling.hovered_tile is None


def test_the_frame_follows_the_current_tile(slide_session: Session) -> None:
    mark = find_layer(slide_session.viewer, "mark")
    assert mark is not None
    assert not mark.visible
    slide_session.actions.labels.go_to(5)
    assert mark.visible
    corners = mark.data[:, 0]
    assert corners.min() == pytest.approx(1, abs=0.05)
    slide_session.actions.labels.choose_tile(None)
    assert not mark.visible


def test_going_to_a_tile_centers_it_and_zooms_in(slide_session: Session) -> None:
    camera = slide_session.viewer.scene.camera
    camera.zoom = 0.01
    slide_session.actions.labels.go_to(5)
    # Tile 5 is in row 1, column 2 of 64 px tiles of 0.5 µm.
    assert camera.center[1:] == pytest.approx((47.75, 79.75))
    assert camera.zoom > 1
    camera.zoom = 20
    slide_session.actions.labels.go_to(6)
    assert camera.zoom == 20


def test_a_closed_session_does_not_listen(slide_session: Session) -> None:
    layer = tile_layer(slide_session)
    slide_session.close()
    layer.paint((1, 2), BRUSH)
    assert layer.data[1, 2] == BRUSH


def test_another_brush_makes_no_color_table(slide_session: Session) -> None:
    layer = tile_layer(slide_session)
    colormap = layer.colormap
    color = colormap.color_dict[BRUSH + 2]
    for digit in (2, 3, 1):
        slide_session.actions.labels.choose_class(digit)
        assert layer.selected_label == BRUSH + digit
    slide_session.actions.labels.choose_mode(PaintMode.REMOVE)
    assert layer.selected_label == BRUSH
    assert layer.colormap is colormap
    assert np.allclose(color[:3], colormap.color_dict[2][:3])


def test_only_what_changed_is_encoded(
    slide_session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = []
    encode = TileCodes.encode

    def counting(codes: TileCodes, states: np.ndarray) -> np.ndarray:
        counts.append(len(states))
        return encode(codes, states)

    monkeypatch.setattr(TileCodes, "encode", counting)
    slide_session.actions.labels.choose_tile(5)
    slide_session.actions.labels.press_digit(2)
    assert counts == [1]
    slide_session.actions.classes.add("fat")
    assert counts[-1] == 16
    assert np.count_nonzero(tile_layer(slide_session).data) == 1
