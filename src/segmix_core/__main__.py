"""The process of a run: ``python -m segmix_core STAGE RUN_FOLDER``."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segmix_core.cores import let_idle_threads_sleep
from segmix_core.errors import JobError, SegmixError
from segmix_core.runs.child import (
    EXIT_ERROR,
    is_first_process,
    lower_priority,
    run_child,
)
from segmix_core.runs.folder import RunFolder
from segmix_core.runs.request import RunRequest
from segmix_core.runs.writer import RunWriter


def main(arguments: Sequence[str]) -> int:
    """Run a stage and return the exit code.

    0 completed, 1 unexpected failure, 2 an error the user can solve, 3 canceled.
    """
    try:
        folder = _folder(arguments)
        lower_priority()
        # Not set yet if it was started by hand or by torchrun.
        let_idle_threads_sleep(os.environ)
        return run_child(folder, _run_stage, silent=not is_first_process(os.environ))
    except SegmixError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_ERROR


def _folder(arguments: Sequence[str]) -> RunFolder:
    if len(arguments) != 2:
        raise JobError(
            f"{len(arguments)} arguments were given instead of a stage and a run "
            "folder.",
            "Use 'segmix STAGE PROJECT', which creates the folder.",
        )
    folder = RunFolder(Path(arguments[1]))
    if folder.request().stage != arguments[0]:
        raise JobError(
            f"{folder.path} is a run of stage {folder.request().stage!r}, not "
            f"{arguments[0]!r}.",
            "Use the stage that the run was created for.",
        )
    return folder


def _run_stage(request: RunRequest, writer: RunWriter) -> dict[str, Any]:
    # Imported late: it loads torch, and the heartbeat has started by now.
    from segmix_core.pipeline import run_stage

    return run_stage(request, writer)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
