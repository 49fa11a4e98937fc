import pytest

from benchmarks.quality.variants import Variant, check_variants
from segmix_core.config import RunConfig
from segmix_core.errors import ConfigError


def test_a_row_is_its_method_and_what_it_changes():
    plain = Variant("cellmix-schedule")
    assert plain.name == "cellmix-schedule"
    config = plain.apply(RunConfig())
    assert config.curriculum.strategy == "cellmix"
    row = Variant("segmix-plus", {"train.pixel_weight": 0, "cams.scales": [1.0, 1.25]})
    assert row.name == "segmix-plus:train.pixel_weight=0+cams.scales=[1.0,1.25]"
    config = row.apply(RunConfig())
    assert config.train.method == "segmix-plus"
    assert config.train.pixel_weight == 0
    assert config.cams.scales == (1.0, 1.25)


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        ([Variant("cam"), Variant("magic")], "Choose from cam"),
        ([Variant("cam", {"train.magic": 1})], "not a valid setting"),
        ([Variant("cam", {"train.width": 1})], "train.width"),
        ([Variant("cam"), Variant("seam"), Variant("cam")], "'cam' is given twice"),
        ([Variant("cam", {"train.method": "seam"})], "train.method.* rows of cam"),
        ([Variant("cam", {"train.seed": 3})], "seeds with --seeds"),
        ([Variant("cam", {"segmenter.seed": 3})], "seeds with --seeds"),
        (
            [Variant("cellmix-schedule", {"curriculum.strategy": "hold"})],
            "curriculum.strategy.* rows of cellmix-schedule",
        ),
    ],
)
def test_what_is_wrong_is_told_before_anything_trains(variants, message):
    with pytest.raises(ConfigError, match=message):
        check_variants(variants, RunConfig())
