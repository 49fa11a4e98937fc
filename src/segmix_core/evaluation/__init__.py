"""Score the masks of a run against ground truth masks."""

from segmix_core.evaluation.known_masks import read_mask_file
from segmix_core.evaluation.scores import Evaluation, evaluate_run

__all__ = ["Evaluation", "evaluate_run", "read_mask_file"]
