"""Losses for wrong pixel labels, one pixel at a time, from the papers' formulas."""

import math

import numpy as np

from tests.reference.pixel_losses import counted_pixels, softmax


def smoothed(label, channels, share):  # type: ignore[no-untyped-def]
    return (1 - share) * np.eye(channels)[label] + share / channels


def cross_entropy(guess, target):  # type: ignore[no-untyped-def]
    return -sum(t * math.log(g) for g, t in zip(guess, target, strict=True))


def generalized(guess, label):  # type: ignore[no-untyped-def]
    return (1 - guess[label] ** 0.7) / 0.7


def symmetric(guess, label):  # type: ignore[no-untyped-def]
    target = np.eye(len(guess))[label]
    logs = [math.log(t) if t > 0 else -4.0 for t in target]
    reverse = -sum(g * log for g, log in zip(guess, logs, strict=True))
    return 0.1 * cross_entropy(guess, target) + 1.0 * reverse


def bootstrapped(guess, label):  # type: ignore[no-untyped-def]
    choice = np.eye(len(guess))[guess.argmax()]
    target = 0.7 * np.eye(len(guess))[label] + 0.3 * choice
    return cross_entropy(guess, target)


SINGLE = {"gce": generalized, "sce": symmetric, "bootstrapped": bootstrapped}


def easy_weights(losses, labels, is_corrected):  # type: ignore[no-untyped-def]
    """Weights of the decided pixels of one image: three lists of equal length."""
    if len(set(labels)) < 2:
        return [1.0] * len(losses)
    powers = [math.exp(-x) for x, c in zip(losses, is_corrected, strict=True) if not c]
    shares = [power / sum(powers) for power in powers]
    mean = sum(shares) / len(shares) if shares else 1.0
    found = iter([min(10.0, max(0.0, share / mean)) for share in shares])
    return [1.0 if c else next(found) for c in is_corrected]


def pixel_loss(  # type: ignore[no-untyped-def]
    name, smoothing, logits, masks, weights, corrected, class_indices, class_weights
):
    total = norm = 0.0
    for b in range(len(masks)):
        image = slice(b, b + 1)
        losses, labels, clean, counts = [], [], [], []
        pixels = counted_pixels(masks[image], weights[image], class_indices)
        for _, y, x, k, w in pixels:
            guess = softmax(logits[b, :, y, x])
            share = 0.0 if corrected[b, y, x] else smoothing
            loss = cross_entropy(guess, smoothed(k, len(guess), share))
            if name in SINGLE and not corrected[b, y, x]:
                loss = SINGLE[name](guess, k)
            losses.append(loss)
            labels.append(k)
            clean.append(bool(corrected[b, y, x]))
            counts.append(w * class_weights[k])
        factors = [1.0] * len(losses)
        if name == "oeem":
            factors = easy_weights(losses, labels, clean)
        for loss, factor, count in zip(losses, factors, counts, strict=True):
            total += factor * loss * count
            norm += count
    return total / norm if norm else 0.0
