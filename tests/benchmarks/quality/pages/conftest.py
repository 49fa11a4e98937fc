"""Files of results in a folder of documents."""

import json

import pytest

METRICS = (
    *("foreground_iou", "background_iou", "dice"),
    *("image_mean_iou", "class_mean_iou"),
)
CONFIG = {
    "train": {"epochs": 8, "batch_size": 16, "backbone": "small"},
    "machine": {"precision": "bf16"},
}


def make_content(split, scores):
    """Results; ``scores`` has the mean IoU of each seed by method and what scored."""
    rows = []
    for (method, scored), values in scores.items():
        for seed, value in enumerate(values):
            rows.append(
                {
                    "method": method,
                    "scored": scored,
                    "reads_train_masks": method == "full",
                    "seed": None if scored == "trivial" else seed,
                    "threshold": None,
                    "mean_iou": value,
                    **dict.fromkeys(METRICS, value),
                    "by_class": {"polyp": {"mean_iou": value if seed else None}},
                    # Every row has the same pixels, so draws make no difference.
                    "counts": {name: [5, 5] for name in ("tp", "fp", "fn", "tn")},
                }
            )
    return {
        "folder": "data",
        "protocol": "p2",
        "split": split,
        "config": CONFIG,
        "against": "cam",
        "images": {"name": ["a.png", "b.png"], "group": ["", ""]},
        "results": rows,
    }


SCORES = {
    ("nothing", "trivial"): [0.2],
    ("disc & <ring>", "trivial"): [0.3],
    ("full", "maps"): [0.80, 0.82],
    ("full", "segmenter"): [0.80, 0.90],
    ("cam", "maps"): [0.70, 0.72],
    ("cam", "segmenter"): [0.60, 0.70],
    ("segmix:train.er_weight=0+cams.scales=[1,2]", "maps"): [0.75, 0.70],
    ("segmix:train.er_weight=0+cams.scales=[1,2]", "segmenter"): [0.65, 0.75],
}


@pytest.fixture
def docs(tmp_path):
    """A folder of documents with a file of test and one of val."""
    for name, split in (("results/tissue", "test"), ("lab/choices/er", "val")):
        path = tmp_path / f"{name}.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(make_content(split, SCORES)), encoding="utf-8")
        text = f"# Title of {split}\n\nBefore.\n\n---\nAfter.\n"
        path.with_suffix(".md").write_text(text, encoding="utf-8")
    introduction = tmp_path / "results" / "INTRODUCTION.md"
    introduction.write_text("# Results\n\nFirst.\n", encoding="utf-8")
    return tmp_path
