from pathlib import Path

import pytest

from segmix_core.cli.console import Console
from segmix_core.cli.license import print_license
from segmix_core.runs import RunRequest


def told(capsys, settings, stage="train-segmenter"):
    request = RunRequest(stage, Path("demo.segmix"), {"segmenter": settings})
    print_license(request, Console(as_json=False))
    said = capsys.readouterr()
    assert said.out == ""
    return said.err


@pytest.mark.parametrize(
    ("encoder", "license"),
    [
        ("tu-resnet18", "resnet18: Apache 2.0."),
        ("tu-regnety_004", "regnety_004: bsd-3-clause."),
        ("resnet18", "smp-hub/resnet18.imagenet: unknown (see the model card)."),
    ],
)
def test_the_license_of_an_encoder(capsys, encoder, license):
    assert license in told(capsys, {"encoder": encoder, "pretrained": True})


def test_an_encoder_from_scratch_has_none(capsys):
    assert told(capsys, {"encoder": "tu-resnet18"}) == ""


def test_other_stages_use_no_encoder(capsys):
    assert told(capsys, {"pretrained": True}, "predict") == ""
