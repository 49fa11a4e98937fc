"""Work beside the window: threads of which the status line tells, and first looks."""

from collections.abc import Callable
from typing import Any

from napari_segmix.executor import Executor
from napari_segmix.model.notices import Notices
from napari_segmix.preferences import read_preferences
from segmix_core.intake.opening import ImageOpener
from segmix_core.slides.first_look import FirstLookPool


class Background:
    """Runs what takes time or may crash beside the window.

    Attributes
    ----------
    executor
        Runs the threads; used as it is by what is not told.
    looks
        Opens files that may crash, in another process.
    opener
        Opens images of the project that is open.
    """

    def __init__(self, executor: Executor, notices: Notices) -> None:
        self.executor = executor
        self.looks = FirstLookPool(lambda: read_preferences().python)
        self.opener = ImageOpener(self.looks.borrow)
        self._notices = notices

    def begin_project(self) -> None:
        """Know nothing of the images of another project."""
        self.opener = ImageOpener(self.looks.borrow)
        # Adding is what comes next, or files have changed: both need it.
        self.looks.warm()

    def close(self) -> None:
        """Ask everything that still runs to stop."""
        self.executor.close()
        self.looks.close()

    def run(
        self,
        sentence: str,
        work: Callable[[], Any],
        on_done: Callable[[Any], None],
        on_error: Callable[[BaseException], None] | None = None,
    ) -> None:
        """Run ``work`` in a thread while ``busy`` is ``sentence``; errors are shown.

        ``work`` must not touch the viewer or widgets; ``on_done`` and ``on_error``
        may, of which the second takes errors instead of their being shown.
        """
        self._notices.show_busy(sentence)

        def done(result: Any) -> None:
            self._notices.set_idle()
            on_done(result)

        def failed(error: BaseException) -> None:
            self._notices.set_idle()
            (on_error or self._notices.report)(error)

        self.executor.submit(work, on_done=done, on_error=failed)
