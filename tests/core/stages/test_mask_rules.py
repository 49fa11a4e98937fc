import json
from dataclasses import asdict

from segmix_core.inference.mask_rules import rules_of
from segmix_core.settings import RunSettings


def test_settings_are_the_rules():
    config = RunSettings().replace({"pseudo_masks.margin": 0.25}).pseudo_masks
    rules = rules_of(config, 0.5)
    assert rules.margin == 0.25
    areas = {"min_object_um2": None, "min_hole_um2": None}
    # What is no rule is tested in test_val_fit.
    elsewhere = areas | {"fit": False}
    assert json.loads(config.model_dump_json()) == asdict(rules) | elsewhere


def test_micrometers_win_where_the_pixel_size_is_known():
    changes = {
        "pseudo_masks.min_object_um2": 25.0,
        "pseudo_masks.min_object_px": 9,
        "pseudo_masks.min_hole_px": 7,
    }
    config = RunSettings().replace(changes).pseudo_masks
    known, unknown = rules_of(config, 0.5), rules_of(config, None)
    assert (known.min_object_px, unknown.min_object_px) == (100, 9)
    assert (known.min_hole_px, unknown.min_hole_px) == (7, 7)
    config = RunSettings().replace({"pseudo_masks.min_hole_um2": 2.0}).pseudo_masks
    assert rules_of(config, 0.5).min_hole_px == 8
