"""The benchmarks: ``python -m benchmarks speed`` and ``python -m benchmarks quality``.

Nothing heavy is imported here: processes that train side by side read this file first.
"""

import os

import typer

from benchmarks.quality.command import quality
from benchmarks.speed.command import speed
from segmix_core.cores import let_idle_threads_sleep

app = typer.Typer(
    name="benchmarks",
    help="Measure the speed and the quality of SegMix.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.command("speed")(speed)
app.command("quality")(quality)


def main() -> None:
    """Run the command line."""
    # As in runs: torch is loaded here, and in the processes that are started.
    let_idle_threads_sleep(os.environ)
    app(prog_name="python -m benchmarks")


if __name__ == "__main__":
    main()
