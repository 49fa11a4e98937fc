import pytest

from benchmarks.quality.row_names import parse_variants
from benchmarks.quality.variants import Variant
from segmix_core.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cam", [Variant("cam")]),
        ("cam, segmix ,full", [Variant("cam"), Variant("segmix"), Variant("full")]),
        (
            "cam,segmix-plus:train.pixel_weight=0.5",
            [Variant("cam"), Variant("segmix-plus", {"train.pixel_weight": 0.5})],
        ),
        (
            "seam:train.er_weight=1e+2+cams.scales=[1.0,1.25]+train.backbone=tu:a,cam",
            [
                Variant(
                    "seam",
                    {
                        "train.er_weight": 100.0,
                        "cams.scales": [1.0, 1.25],
                        "train.backbone": "tu:a",
                    },
                ),
                Variant("cam"),
            ],
        ),
    ],
)
def test_rows_are_read(text, expected):
    found = parse_variants(text)
    assert found == expected
    assert parse_variants(",".join(row.name for row in found)) == expected


@pytest.mark.parametrize("text", ["cam:", "cam:width", "seam,cam:+train.width=8"])
def test_a_setting_without_a_value_is_named(text):
    with pytest.raises(ConfigError, match=r"form section\.field=value"):
        parse_variants(text)
