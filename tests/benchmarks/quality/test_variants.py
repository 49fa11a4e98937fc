import pytest

from benchmarks.quality.methods import METHODS
from benchmarks.quality.variants import Variant, check_variants
from segmix_core.errors import ConfigError
from segmix_core.methods import Cam, SegMix, SegMixPlus
from segmix_core.settings import RunSettings

SHARED = RunSettings(train=Cam(epochs=5, seed=2))


def test_a_row_is_its_method_and_what_it_changes():
    plain = Variant("cellmix-schedule")
    assert plain.name == "cellmix-schedule"
    config = plain.apply(SHARED)
    assert config.train == SegMix(strategy="cellmix", epochs=5, seed=2)
    row = Variant("segmix-plus", {"train.rounds": 0, "cams.scales": [1.0, 1.25]})
    assert row.name == "segmix-plus:train.rounds=0+cams.scales=[1.0,1.25]"
    config = row.apply(SHARED)
    assert config.train == SegMixPlus(rounds=0, epochs=5, seed=2)
    assert config.cams.scales == (1.0, 1.25)


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        ([Variant("cam"), Variant("magic")], "Choose from cam"),
        ([Variant("cam", {"train.magic": 1})], "cam has no setting 'magic'"),
        ([Variant("cam", {"train.rounds": 1})], "cam has no setting 'rounds'"),
        ([Variant("cam", {"train.width": 1})], "train.width"),
        ([Variant("cam"), Variant("seam"), Variant("cam")], "'cam' is given twice"),
        ([Variant("cam", {"train.method": "seam"})], "train.method.* rows of cam"),
        ([Variant("cam", {"train.seed": 3})], "seeds with --seeds"),
        ([Variant("cam", {"segmenter.seed": 3})], "seeds with --seeds"),
        (
            [Variant("cellmix-schedule", {"train.strategy": "hold"})],
            "train.strategy.* rows of cellmix-schedule",
        ),
    ],
)
def test_what_is_wrong_is_told_before_anything_trains(variants, message):
    with pytest.raises(ConfigError, match=message):
        check_variants(variants, SHARED)


@pytest.mark.parametrize("method", METHODS)
def test_all_rows_train_as_long(method):
    # Whatever the method's own default is.
    for epochs in (8, 24):
        shared = RunSettings(train=Cam(epochs=epochs))
        assert Variant(method).apply(shared).train.epochs == epochs
