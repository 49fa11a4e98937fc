import numpy as np
import pytest

from segmix_core.sample.noise import SmoothNoise


@pytest.mark.parametrize("spacing", [3.0, 17.5])
def test_noise_has_mean_0_and_deviation_1(spacing):
    noise = SmoothNoise(np.random.default_rng(0), 700, spacing)
    field = noise.sample(np.arange(700), np.arange(700))
    assert field.dtype == np.float32
    assert abs(field.mean()) < 0.15
    assert field.std() == pytest.approx(1, abs=0.15)


def test_any_part_equals_the_whole():
    noise = SmoothNoise(np.random.default_rng(0), 200, 9.0)
    whole = noise.sample(np.arange(200), np.arange(200))
    part = noise.sample(np.arange(50, 90), np.arange(10, 200, 7))
    np.testing.assert_allclose(part, whole[50:90, 10::7], atol=1e-6)


def test_noise_is_smooth():
    noise = SmoothNoise(np.random.default_rng(0), 400, 40.0)
    field = noise.sample(np.arange(400), np.arange(400))
    assert np.abs(np.diff(field, axis=0)).max() < 0.15
