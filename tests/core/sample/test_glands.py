import numpy as np

from segmix_core.sample.glands import OUTSIDE, gland_depth, place_glands


def test_glands_keep_apart_and_depth_follows_their_outlines():
    rng = np.random.default_rng(0)
    glands = place_glands(rng, rng.uniform(0, 900, (300, 2)))
    assert len(glands) > 10
    for i, first in enumerate(glands):
        for second in glands[:i]:
            gap = np.hypot(first.y - second.y, first.x - second.x)
            assert gap > first.outer.mean() + second.outer.mean()
    depth = gland_depth(glands, 900)
    assert depth.max() == OUTSIDE
    gland = min(glands, key=lambda g: abs(g.y - 450) + abs(g.x - 450))
    row, col = int(gland.y), int(gland.x)
    assert depth[row, col] < 0
    inner, outer = int(gland.inner[0]), int(gland.outer[0])
    along = depth[row, col + inner + 2 : col + outer - 1]
    assert (np.diff(along) > 0).all()
    assert 0 < along[0] < along[-1] < 1 < depth[row, col + outer + 2]


def test_without_candidates_there_are_no_glands():
    rng = np.random.default_rng(0)
    assert place_glands(rng, np.empty((0, 2))) == []
    assert gland_depth([], 32).min() == OUTSIDE
