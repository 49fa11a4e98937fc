import json
import math

import pytest

from segmix_core.benchmark.folder import BenchmarkFolder
from segmix_core.benchmark.protocols import make_protocol
from segmix_core.benchmark.run import check_methods, run_method, score_trivial
from segmix_core.benchmark.trivial import TRIVIAL_PREDICTORS
from segmix_core.config import RunConfig
from segmix_core.errors import ConfigError
from segmix_core.events import Metrics, StageStarted

CONFIG = RunConfig().replace(
    {
        "train.epochs": 1,
        "train.batch_size": 6,
        "train.width": 8,
        "cams.scales": [1.0],
        "cams.flips": False,
        "machine.device": "cpu",
        "machine.threads": 1,
    }
)


class Listener:
    """Collects events; asks to stop if told so."""

    def __init__(self, stop=False):
        self.events = []
        self.stop = stop

    def emit(self, event):
        self.events.append(event)

    def should_stop(self):
        return self.stop

    def save_preview(self, step, content, **arrays):
        pass


def numbers(content):
    if isinstance(content, dict):
        for value in content.values():
            yield from numbers(value)
    elif isinstance(content, float):
        yield content


@pytest.mark.parametrize(
    ("protocol", "method"),
    [("p1", "segmix"), ("p1", "cam"), ("p2", "fixed-shuffle"), ("p2", "seam")],
)
def test_a_method_is_trained_and_scored(benchmark_path, protocol, method):
    # The folder has no masks of train images: whoever asked for one would fail.
    assert not list((benchmark_path / "masks").glob("train*"))
    listener = Listener()
    found = make_protocol(protocol, BenchmarkFolder(benchmark_path))
    result = run_method(found, method, CONFIG, listener)
    content = result.to_json()
    assert (content["method"], content["seed"]) == (method, 0)
    assert (content["threshold"] is None) == (protocol == "p2")
    assert set(content["by_class"]) == {"dark", "striped"}
    assert all(math.isfinite(number) for number in numbers(content))
    assert any(isinstance(event, StageStarted) for event in listener.events)
    assert any(isinstance(event, Metrics) for event in listener.events)


def test_a_seed_decides_the_result(benchmark_path):
    protocol = make_protocol("p1", BenchmarkFolder(benchmark_path))
    zero, again, one = (
        run_method(protocol, "segmix", CONFIG.replace({"train.seed": s}), Listener())
        for s in (0, 0, 1)
    )
    assert zero == again
    assert zero.scores != one.scores
    assert one.seed == 1


def test_a_stopped_training_has_no_result(benchmark_path):
    protocol = make_protocol("p1", BenchmarkFolder(benchmark_path))
    assert run_method(protocol, "cam", CONFIG, Listener(stop=True)) is None


def test_trivial_predictors_are_scored_beside(benchmark_path):
    results = {r.method: r for r in score_trivial(BenchmarkFolder(benchmark_path))}
    assert list(results) == list(TRIVIAL_PREDICTORS)
    everything = results["all foreground"].to_json()
    assert everything["seed"] is everything["threshold"] is None
    assert everything["background_iou"] == 0
    assert results["all background"].scores.all.foreground_iou == 0
    assert results["Otsu, dark green"].scores.all.mean_iou > 0.8
    assert "NaN" not in json.dumps([r.to_json() for r in results.values()])


def test_an_unknown_method_is_named():
    check_methods(["cam", "segmix"])
    with pytest.raises(ConfigError, match=r"methods among cam, .*but got 'magic'"):
        check_methods(["cam", "magic"])
