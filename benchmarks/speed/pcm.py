"""The pixel correlation module on large tiles: memory, time and equality."""

import multiprocessing
import threading
import time
from dataclasses import dataclass

import numpy as np
import psutil
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.speed.comparison import (
    Seconds,
    Table,
    in_turns,
    milliseconds,
    ratio,
    timed,
)
from segmix_core.models.pcm import MAX_TOKENS, PixelCorrelation, spread

CHANNELS, STRIDE = 4, 8
LOW, HIGH = 64, 128
LOW_DIM, HIGH_DIM = 64, 128
DIM = LOW_DIM + HIGH_DIM
TURNS = 5
PLAIN_EDGES = (512, 768, 1024)
"""Tiles for which the plain formula needs no more memory than a laptop has."""
LARGE_EDGE, CHECKED = 2048, 64
GIB, MIB = 1 << 30, 1 << 20
LIBRARY_BYTES = 64 * MIB
"""What the libraries may load at their first call."""


@dataclass(frozen=True, slots=True)
class Large:
    """What a large tile took.

    Attributes
    ----------
    extra_bytes
        Most memory of the process beyond what it had with the features.
    seconds
        Of the forward pass.
    difference
        Largest from the plain formula in float64, over some pixels.
    """

    extra_bytes: int
    seconds: float
    difference: float


@dataclass(frozen=True, slots=True)
class Small:
    """What a tile took for which the plain formula can be computed, too.

    Attributes
    ----------
    count
        Pixels of the map.
    ours, plain
        Seconds of each turn.
    difference
        Largest from the plain formula.
    """

    count: int
    ours: Seconds
    plain: Seconds
    difference: float

    @property
    def seconds_a_pair(self) -> float:
        """Our median over the pairs of pixels of the map."""
        return float(np.median(self.ours)) / self.count**2


def tables() -> list[Table]:
    """Return the tables of time and of memory."""
    return [_small(), _large()]


def most_bytes(count: int) -> int:
    """Return the most memory that the module may take for a map of so many pixels.

    A strip of the affinity and every map on the way to the tokens, none of them freed.
    """
    resized = 3 + LOW
    projected = 2 * (LOW_DIM + HIGH_DIM)
    joined = 3 + LOW_DIM + HIGH_DIM
    channels = resized + projected + joined + 2 * DIM
    return 4 * (MAX_TOKENS**2 + channels * count) + LIBRARY_BYTES


def _small() -> Table:
    found = [_measure_small(edge) for edge in PLAIN_EDGES]
    text = (
        f"`spread` of {CHANNELS} maps over tokens of {DIM} channels, compared with the "
        "plain formula, which stores the whole affinity matrix. The formula's time "
        "grows with the square of the number of map pixels; *growth* is our time "
        "divided by that square, relative to the first row. Target: about 1 or less."
    )
    header = ("tile", "map pixels", "ours, ms", "plain, ms", "times as fast")
    rows = [
        (
            f"{edge} x {edge}",
            str(small.count),
            milliseconds(small.ours),
            milliseconds(small.plain),
            ratio(small.plain, small.ours),
            f"{small.seconds_a_pair / found[0].seconds_a_pair:.2f}",
            f"{small.difference:.1e}",
        )
        for edge, small in zip(PLAIN_EDGES, found, strict=True)
    ]
    return Table(
        "Pixel correlation: time", text, (*header, "growth", "largest difference"), rows
    )


@torch.no_grad()
def _measure_small(edge: int) -> Small:
    count = (edge // STRIDE) ** 2
    seed, tokens = _inputs(count)
    seconds = in_turns(
        {
            "ours": lambda: spread(seed, tokens),
            "plain": lambda: _plain(seed, tokens),
        },
        TURNS,
    )
    apart = (spread(seed, tokens) - _plain(seed, tokens)).abs().max().item()
    return Small(count, seconds["ours"], seconds["plain"], apart)


def _large() -> Table:
    # In a process of its own, so that nothing else counts as its memory.
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        large = pool.apply(measure_large, (torch.get_num_threads(),))
    count = (LARGE_EDGE // STRIDE) ** 2
    text = (
        f"The whole module on one tile of {LARGE_EDGE} x {LARGE_EDGE} at stride "
        f"{STRIDE}, in its own process. Target: less than 2 GiB in addition to the "
        f"features. The affinity matrix alone would take {4 * count**2 / GIB:.0f} GiB; "
        f"by design the module needs at most {most_bytes(count) / GIB:.2f} GiB. The "
        f"result is compared with the plain formula in float64 on {CHECKED} map pixels."
    )
    header = ("map pixels", "additional memory", "seconds", "largest difference")
    row = (
        str(count),
        f"{large.extra_bytes / GIB:.2f} GiB",
        f"{large.seconds:.0f}",
        f"{large.difference:.1e}",
    )
    return Table("Pixel correlation: memory", text, header, [row])


@torch.no_grad()
def measure_large(threads: int) -> Large:
    """Measure a large tile, in the process that calls this."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    edge = LARGE_EDGE // STRIDE
    module = PixelCorrelation(LOW, HIGH, low_dim=LOW_DIM, high_dim=HIGH_DIM)
    images = torch.rand(1, 3, LARGE_EDGE, LARGE_EDGE)
    low, high = torch.rand(1, LOW, 2 * edge, 2 * edge), torch.rand(1, HIGH, edge, edge)
    seed = torch.rand(1, CHANNELS, edge, edge)
    results: list[Tensor] = []
    with _MemoryWatch() as memory:
        seconds = timed(lambda: results.append(module(seed, images, low, high)))
    tokens = module.tokens(images, low, high, seed.shape[-2:]).double()
    places = torch.linspace(0, edge**2 - 1, CHECKED).long()
    expected = _plain(seed.flatten(2).double(), tokens, tokens[..., places])
    difference = (results[0].flatten(2)[..., places] - expected).abs().max().item()
    return Large(memory.extra_bytes, seconds, difference)


class _MemoryWatch:
    """Looks every millisecond how much memory the process has beyond the beginning."""

    def __enter__(self) -> "_MemoryWatch":
        self.extra_bytes = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        process = psutil.Process()
        begun = process.memory_info().rss
        while not self._done.is_set():
            self.extra_bytes = max(self.extra_bytes, process.memory_info().rss - begun)
            time.sleep(0.001)


def _inputs(count: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(count)
    tokens = torch.randn(1, DIM, count, generator=generator)
    seed = torch.rand(1, CHANNELS, count, generator=generator)
    return seed, F.normalize(tokens, dim=1)


def _plain(seed: Tensor, tokens: Tensor, columns: Tensor | None = None) -> Tensor:
    columns = tokens if columns is None else columns
    similarity = F.relu(tokens.transpose(1, 2) @ columns)
    return seed @ (similarity / (similarity.sum(dim=1, keepdim=True) + 1e-5))
