"""The program ``segmix``: its commands in the order of use."""

from importlib.metadata import version
from typing import Annotated

import typer

from segmix_core.cli import (
    control,
    demo,
    health,
    projects,
    quality,
    recovery,
    sample,
    stages,
    status,
    tiles,
)
from segmix_core.cli.settings import settings_help, training_help
from segmix_core.stage_registry import STAGES

app = typer.Typer(
    name="segmix",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"segmix {version('napari-segmix')}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Print the version and exit.",
        ),
    ] = False,
) -> None:
    """Pixel masks from image-level labels for pathology images."""


_PROJECT = "Project"
app.command("new", rich_help_panel=_PROJECT)(projects.new)
app.command("add", rich_help_panel=_PROJECT)(projects.add)
app.command("set-mpp", rich_help_panel=_PROJECT)(projects.set_mpp)
app.command("tissue", rich_help_panel=_PROJECT)(projects.tissue)
app.command("import-labels", rich_help_panel=_PROJECT)(projects.import_labels)
app.command("tiles", rich_help_panel=_PROJECT)(tiles.tiles)
app.command("relocate", rich_help_panel=_PROJECT)(projects.relocate)
app.command("status", rich_help_panel=_PROJECT)(status.status)

_RECOVERY = "Recovery"
app.command("verify", rich_help_panel=_RECOVERY)(recovery.verify)
app.command("repair", rich_help_panel=_RECOVERY)(recovery.repair)
app.command("snapshots", rich_help_panel=_RECOVERY)(recovery.snapshots)
app.command("restore", rich_help_panel=_RECOVERY)(recovery.restore)

_STAGES = "Stages, in order"
app.command(
    "train",
    rich_help_panel=_STAGES,
    epilog=training_help(),
)(stages.train)
app.command(
    "cams", rich_help_panel=_STAGES, epilog=settings_help(*STAGES["cams"].settings)
)(stages.cams)
app.command(
    "pseudo-masks",
    rich_help_panel=_STAGES,
    epilog=settings_help(*STAGES["pseudo-masks"].settings),
)(stages.pseudo_masks)
app.command(
    "train-segmenter",
    rich_help_panel=_STAGES,
    epilog=settings_help(*STAGES["train-segmenter"].settings),
)(stages.train_segmenter)
app.command(
    "predict",
    rich_help_panel=_STAGES,
    epilog=settings_help(*STAGES["predict"].settings),
)(stages.predict)
app.command("export", rich_help_panel=_STAGES)(stages.export)

_RUNS = "Running jobs"
app.command("watch", rich_help_panel=_RUNS)(control.watch_run)
app.command("stop", rich_help_panel=_RUNS)(control.stop)

app.command("evaluate", rich_help_panel="Quality")(quality.evaluate)

app.command("demo", rich_help_panel="Help")(demo.demo)
app.command("sample", rich_help_panel="Help")(sample.sample)
app.command("doctor", rich_help_panel="Help")(health.doctor)


def main() -> None:
    """Run the command line."""
    app()
