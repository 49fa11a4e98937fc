"""Slow, obvious scores: sets of pixel coordinates, one class at a time."""


def pixels(mask, value):
    height, width = mask.shape
    return {(y, x) for y in range(height) for x in range(width) if mask[y, x] == value}


def scores(pairs, wanted):
    """Return IoU and Dice over all images of the pixels for which ``wanted`` holds.

    ``wanted`` is a function of a mask value; 255 in truth is not looked at.
    """
    common, either, true_size, predicted_size = 0, 0, 0, 0
    for truth, prediction in pairs:
        ignored = pixels(truth, 255)
        values = range(255)
        true = set().union(*(pixels(truth, v) for v in values if wanted(v)))
        predicted = set().union(*(pixels(prediction, v) for v in values if wanted(v)))
        predicted -= ignored
        common += len(true & predicted)
        either += len(true | predicted)
        true_size += len(true)
        predicted_size += len(predicted)
    if either == 0:
        return float("nan"), float("nan")
    return common / either, 2 * common / (true_size + predicted_size)
