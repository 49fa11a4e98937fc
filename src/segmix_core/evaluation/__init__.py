"""Scores of a run's masks against masks that are known to be right."""

from segmix_core.evaluation.known_masks import read_mask_file
from segmix_core.evaluation.scores import Evaluation, evaluate_run

__all__ = ["Evaluation", "evaluate_run", "read_mask_file"]
