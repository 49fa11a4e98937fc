from importlib import import_module
from typing import get_args

import pytest
from typer.main import get_command

from segmix_core.cli.app import app
from segmix_core.project.records import ChangeKind
from segmix_core.stage_registry import MASK_TITLES, STAGES

ALL = pytest.mark.parametrize("stage", STAGES.values(), ids=list(STAGES))


def test_a_stage_reads_only_runs_of_earlier_stages():
    earlier = set()
    for name, stage in STAGES.items():
        assert earlier.issuperset(stage.inputs)
        earlier.add(name)


def test_every_stage_is_a_command_in_the_order_of_the_work():
    commands = get_command(app).commands
    panel = commands["train"].rich_help_panel
    assert [n for n, c in commands.items() if c.rich_help_panel == panel] == [*STAGES]


@ALL
def test_the_function_of_a_stage_exists(stage):
    module, _, name = stage.function.partition(":")
    assert callable(getattr(import_module(f"segmix_core.stages.{module}"), name))


@ALL
def test_what_outdates_a_stage_are_kinds_of_change(stage):
    assert stage.outdated_by <= set(get_args(ChangeKind))


def test_what_can_be_exported_are_runs_that_leave_masks():
    assert set(STAGES["export"].inputs) == set(MASK_TITLES)
