"""The command ``doctor``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from segmix_core.cli.console import Console
from segmix_core.cli.options import Options, takes
from segmix_core.doctor import Verdict, examine
from segmix_core.runs.child import EXIT_COMPLETED, EXIT_UNEXPECTED

_STYLES = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.FAIL: "red"}


@dataclass(frozen=True, kw_only=True)
class DoctorOptions(Options):
    """Options of ``doctor``."""

    folder: Annotated[
        Path,
        typer.Argument(help="Folder for projects; checks disk space and permissions."),
    ] = Path()
    python: Annotated[
        str | None, typer.Option(help="The Python that runs the jobs.")
    ] = None


@takes(DoctorOptions)
def doctor(options: DoctorOptions, console: Console) -> int:
    """Check whether everything is installed and works."""
    checks = examine(options.folder, options.python)
    for check in checks:
        hint = f"  -> {check.hint}" if check.hint else ""
        line = f"{check.verdict:<4}  {check.name:<12}  {check.message}{hint}"
        console.say(line, _STYLES[check.verdict])
    healthy = all(check.verdict is not Verdict.FAIL for check in checks)
    console.say("All is well." if healthy else "SegMix will not work fully.")
    console.result(
        {
            "healthy": healthy,
            "checks": [
                {
                    "name": check.name,
                    "verdict": str(check.verdict),
                    "message": check.message,
                    "hint": check.hint,
                }
                for check in checks
            ],
        }
    )
    return EXIT_COMPLETED if healthy else EXIT_UNEXPECTED
