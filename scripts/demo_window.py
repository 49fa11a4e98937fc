"""Shows the demo's project in napari, and keeps a picture of the window.

Usage: python scripts/demo_window.py FOLDER [--picture-only]

Without a screen a virtual one is used for the picture.
"""

import argparse
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import run

PICTURE = "napari.png"
PROJECT = "sample.segmix"
_VIRTUAL = ["xvfb-run", "-a", "-s", "-screen 0 1600x1000x24 +extension GLX"]
_PATIENCE_SECONDS = 60


def main() -> int:
    """Show the project and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--picture-only", action="store_true")
    options = parser.parse_args()
    if not has_screen():
        return run_virtually(options.folder)
    show(options.folder, stay=not options.picture_only)
    return 0


def has_screen() -> bool:
    """Whether a window can be opened for a person."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def run_virtually(folder: Path) -> int:
    """Take the picture on a virtual screen."""
    if shutil.which(_VIRTUAL[0]) is None:
        print("No screen and no xvfb-run: install xvfb for the picture.")
        return 1
    command = [*_VIRTUAL, sys.executable, __file__, str(folder), "--picture-only"]
    return run(command, check=False).returncode


def show(folder: Path, *, stay: bool) -> None:
    """Open the project with its masks, take the picture, and stay if wanted."""
    import napari
    from qtpy.QtWidgets import QApplication

    from napari_segmix.session import session_for

    viewer = napari.Viewer(show=True)
    viewer.window.resize(1600, 1000)
    viewer.open(str(folder / PROJECT), plugin="napari-segmix")
    session = session_for(viewer)
    session.page_requested.emit("Masks")

    def wait(ready: Callable[[], bool], seconds: float = _PATIENCE_SECONDS) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and not ready():
            QApplication.processEvents()
            time.sleep(0.02)

    wait(lambda: bool(session.model.masks.doubtful(1)))
    session.actions.masks.next_doubtful()
    wait(lambda: session.model.masks.is_open)
    viewer.reset_view()
    wait(lambda: False, 3)
    path = folder / PICTURE
    viewer.screenshot(str(path), canvas_only=False, flash=False)
    print(f"A picture of the window: {path}")
    if stay:
        napari.run()
    else:
        # Now, not when the interpreter ends and takes Qt apart in any order.
        session.close()
        viewer.close()


if __name__ == "__main__":
    sys.exit(main())
