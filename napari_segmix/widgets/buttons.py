"""Buttons of the pages."""

from collections.abc import Callable

from qtpy.QtWidgets import QPushButton

_PRIMARY = """
QPushButton { background: #2f7cc0; color: #ffffff; font-weight: bold; padding: 6px 10px;
              border-radius: 3px; }
QPushButton:hover { background: #3d8fd6; }
QPushButton:disabled { background: rgba(128, 138, 150, 70);
                       color: rgba(160, 168, 178, 170); }
"""
_DANGER = """
QPushButton { background: #b3363a; color: #ffffff; padding: 4px 8px;
              border-radius: 3px; }
QPushButton:hover { background: #d0474b; }
"""


def push_button(text: str, action: Callable[..., object], tip: str = "") -> QPushButton:
    """Return a button that calls ``action`` without arguments."""
    button = QPushButton(text)
    button.setToolTip(tip)
    button.clicked.connect(lambda _checked=False: action())
    return button


def primary_button(
    text: str, action: Callable[..., object], tip: str = ""
) -> QPushButton:
    """Return the button of a page's next step."""
    button = push_button(text, action, tip)
    button.setStyleSheet(_PRIMARY)
    return button


def set_danger(button: QPushButton, dangerous: bool) -> None:
    """Colour a button that destroys work, or take the colour back."""
    button.setStyleSheet(_DANGER if dangerous else "")
