import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmix_core.inference.gate_fit import CURVE, f1_scores, fit_gate


def _reference_f1(labels, probabilities, gate):
    """Slow twin: count tile by tile."""
    hits = wrong = missed = 0
    for label, probability in zip(labels, probabilities, strict=True):
        called = probability >= gate
        hits += label == 1 and called
        wrong += label == 0 and called
        missed += label == 1 and not called
    return 2 * hits / (2 * hits + wrong + missed) if hits else 0.0


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), levels=st.sampled_from([3, 10, 1000]))
def test_gates_equal_the_slow_twin(seed, levels):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.repeat([0, 1], 5), rng.integers(-1, 2, 20)])
    probabilities = rng.integers(0, levels, len(labels)) / levels
    found = fit_gate(labels, probabilities, 0.5)
    known = labels >= 0
    every = [0.0, 0.5, *probabilities, *(probabilities + 1e-6)]
    best = max(_reference_f1(labels, probabilities, gate) for gate in every)
    assert found.f1 == pytest.approx(best)
    assert found.f1 == pytest.approx(_reference_f1(labels, probabilities, found.gate))
    assert (found.present, found.absent) == ((labels == 1).sum(), (labels == 0).sum())
    np.testing.assert_allclose(
        f1_scores(labels[known] == 1, probabilities[known], np.array(CURVE)),
        [_reference_f1(labels, probabilities, gate) for gate in CURVE],
    )
    assert [at for at, _ in found.curve] == list(CURVE)


def test_a_gate_lies_between_the_tiles_with_and_without():
    labels = np.array([0] * 6 + [1] * 6)
    probabilities = np.concatenate([np.linspace(0.6, 0.7, 6), np.linspace(0.9, 1, 6)])
    found = fit_gate(labels, probabilities, 0.5)
    assert found.gate == pytest.approx(0.8)
    assert found.f1 == 1


def test_of_equal_gates_the_nearest_to_the_setting_wins():
    labels = np.array([0] * 6 + [1] * 6)
    probabilities = np.array([0.1] * 6 + [0.9] * 6)
    assert fit_gate(labels, probabilities, 0.3).gate == 0.3
    # All tiles called present: as good as any gate that is not above them.
    same = np.full(12, 0.6)
    assert fit_gate(labels, same, 0.5).gate == 0.5
    assert fit_gate(labels, same, 0.7).gate == 0.0


@pytest.mark.parametrize("labels", [[], [1] * 30, [0] * 30, [1] * 4 + [0] * 9])
def test_too_few_tiles_leave_the_gate(labels):
    found = fit_gate(np.array(labels, int), np.ones(len(labels)), 0.37)
    assert (found.gate, found.f1, found.curve) == (0.37, None, ())


def test_unknown_tiles_do_not_count():
    labels = np.array([0] * 5 + [1] * 5 + [-1] * 50)
    probabilities = np.concatenate([np.full(5, 0.2), np.full(5, 0.4), np.ones(50)])
    found = fit_gate(labels, probabilities, 0.5)
    assert found.gate == pytest.approx(0.3)
    assert found.present + found.absent == 10
