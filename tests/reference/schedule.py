"""The feedback controller of the "hold" strategy as one plain loop."""

from collections.abc import Callable, Sequence


def follow(
    sizes: Sequence[int],
    loss_at: Callable[[int, int, float], float],
    *,
    total: int,
    warmup: int,
    interval: int,
    start: tuple[int, float],
    ratios: tuple[float, float] = (0.10, 0.75),
    patience: int = 4,
) -> list[tuple[int, float]]:
    """Return patch size and ratio of every step; the loss is a function of them."""
    low, high = ratios
    size, ratio = start
    index, held, threshold = 0, 0, 0.0
    at_level: list[float] = []
    levels = []
    for step in range(total):
        levels.append((size, ratio))
        at_level.append(loss_at(step, size, ratio))
        done = step + 1
        if done == warmup:
            half = at_level[warmup // 2 :]
            threshold = sum(half) / len(half)
            index, ratio, at_level = 0, low, []
        elif done > warmup and (done - warmup) % interval == 0:
            before = (index, ratio)
            weights = [0.9**age for age in range(len(at_level))][::-1]
            pairs = zip(weights, at_level, strict=True)
            feedback = sum(w * loss for w, loss in pairs) / sum(weights)
            if feedback < threshold:
                index = min(index + 1, len(sizes) - 1)
                ratio = min(high, 1 - 0.9 * (1 - ratio))
                held = 0
                threshold *= 0.933 if before != (index, ratio) else 1
            elif held >= patience:
                progress = (done - warmup) / (total - warmup)
                planned = min(int(progress * len(sizes)), len(sizes) - 1)
                index = max(index, planned)
                ratio = max(ratio, low + progress * (high - low))
                held = 0
            else:
                held += 1
            if before != (index, ratio):
                at_level = []
        if done >= warmup:
            size = sizes[index]
    return levels


def cellmix_level(
    sizes: Sequence[int],
    *,
    progress: float,
    is_low: bool,
    ratios: tuple[float, float] = (0.10, 0.75),
) -> tuple[int, float]:
    """Return patch size and ratio of CellMix' plan, one step ahead if the loss is low.

    In its own terms: ``fixed`` is the share of positions that stay.
    """
    most_fixed, least_fixed = 1 - ratios[0], 1 - ratios[1]
    index = min(int(progress * len(sizes)), len(sizes) - 1)
    fixed = min(max((1 - progress) * most_fixed, least_fixed), most_fixed)
    if is_low:
        index = min(index + 1, len(sizes) - 1)
        fixed = max(fixed * 0.9, least_fixed)
    return sizes[index], 1 - fixed
