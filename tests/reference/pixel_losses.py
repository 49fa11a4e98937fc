"""Segmenter losses, one pixel at a time."""

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def softmax(values: Floats) -> Floats:
    powers = np.exp(values - values.max())
    return powers / powers.sum()


def counted_pixels(masks, weights, class_indices):  # type: ignore[no-untyped-def]
    """Yield (b, y, x, channel, weight) of the pixels that take part."""
    for b, y, x in np.ndindex(masks.shape):
        if masks[b, y, x] in class_indices and weights[b, y, x] > 0:
            channel = class_indices.index(masks[b, y, x])
            yield b, y, x, channel, float(weights[b, y, x])


def cross_entropy(logits, masks, weights, class_indices, class_weights):  # type: ignore[no-untyped-def]
    total = norm = 0.0
    for b, y, x, k, w in counted_pixels(masks, weights, class_indices):
        total += w * class_weights[k] * -math.log(softmax(logits[b, :, y, x])[k])
        norm += w * class_weights[k]
    return total / norm if norm else 0.0


def dice_loss(logits, masks, weights, class_indices):  # type: ignore[no-untyped-def]
    channels = len(class_indices)
    common, total, present = np.zeros(channels), np.zeros(channels), set()
    for b, y, x, k, w in counted_pixels(masks, weights, class_indices):
        guess = softmax(logits[b, :, y, x])
        common[k] += w * guess[k]
        total += w * guess
        total[k] += w
        present.add(k)
    dices = [2 * common[k] / total[k] for k in present]
    return 1 - sum(dices) / len(dices) if dices else 0.0


def accuracy(logits, masks, weights, class_indices):  # type: ignore[no-untyped-def]
    right = norm = 0.0
    for b, y, x, k, w in counted_pixels(masks, weights, class_indices):
        right += w * (int(np.argmax(logits[b, :, y, x])) == k)
        norm += w
    return right / norm if norm else 0.0
