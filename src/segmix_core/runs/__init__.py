"""Runs: each is a process that communicates only through its folder."""

from segmix_core.runs.child import run_child
from segmix_core.runs.folder import (
    DamagedRun,
    RunFolder,
    find_latest,
    list_runs,
    scan_runs,
)
from segmix_core.runs.follow import follow
from segmix_core.runs.inputs import find_inputs, find_run
from segmix_core.runs.launch import kill, launch
from segmix_core.runs.previews import load_preview
from segmix_core.runs.request import RunRequest
from segmix_core.runs.status import RunState, RunStatus
from segmix_core.runs.writer import RunWriter

__all__ = [
    "DamagedRun",
    "RunFolder",
    "RunRequest",
    "RunState",
    "RunStatus",
    "RunWriter",
    "find_inputs",
    "find_latest",
    "find_run",
    "follow",
    "kill",
    "launch",
    "list_runs",
    "load_preview",
    "run_child",
    "scan_runs",
]
