"""The parts of each method: losses, shuffle, network and rounds."""

from collections.abc import Callable
from dataclasses import dataclass

from segmix_core.curriculum.feedback import CurriculumController, make_controller
from segmix_core.curriculum.level import PAIRS, ShuffleScope
from segmix_core.curriculum.mixed_labels import AREA, LabelKind, LabelRule
from segmix_core.curriculum.patch_sizes import (
    check_patch_sizes,
    check_quarters,
    list_patch_sizes,
)
from segmix_core.methods import (
    Cam,
    FixedShuffle,
    Method,
    PuzzleCam,
    Seam,
    SegMix,
    SegMixPlus,
)
from segmix_core.training.losses import DEFAULT_WEIGHTS, LossWeights


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """The steps of a training.

    Attributes
    ----------
    tile_px
        Edge of a batch's images.
    stride
        Parts of a tile must be multiples of this, in pixels.
    epochs, per_epoch
        Passes over the tiles, and the steps of one.
    """

    tile_px: int
    stride: int
    epochs: int
    per_epoch: int


MakeCurriculum = Callable[[Steps], CurriculumController | None]


def _no_curriculum(steps: Steps) -> None:
    """Return None: there are no shuffled tiles."""


def _fits_all(steps: Steps) -> None:
    """Accept any steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodParts:
    """The parts that a method adds to the classification of whole tiles.

    Attributes
    ----------
    second_view
        A second view of each tile with the losses ER and ECR, and the PCM.
    weights
        Of the loss terms.
    make_curriculum
        Steps -> the controller of shuffled tiles, or None.
    scope, label_rule
        Where shuffled patches come from, and how the result is labeled.
    check
        Raises ConfigError for steps that the method does not support.
    fusion, pooled_share, pooled_mean, normalized_stain
        See :class:`segmix_core.models.cam_classifier.CamClassifier`.
    rounds
        Number of networks that learn from masks, after the one that learns from labels.
    shared_foreground
        Whether these share one foreground for all classes, if masks have background.
    """

    second_view: bool = False
    weights: LossWeights = DEFAULT_WEIGHTS
    make_curriculum: MakeCurriculum = _no_curriculum
    scope: ShuffleScope = PAIRS
    label_rule: LabelRule = AREA
    check: Callable[[Steps], None] = _fits_all
    fusion: bool = False
    pooled_share: float = 1.0
    pooled_mean: float = 0.0
    normalized_stain: bool = False
    rounds: int = 0
    shared_foreground: bool = False


def parts_of(method: Method) -> MethodParts:
    """Return what a method consists of."""
    match method:
        case Cam():
            return MethodParts()
        case PuzzleCam():
            return MethodParts(
                weights=LossWeights(puzzle=method.puzzle_weight),
                check=lambda steps: check_quarters(steps.tile_px, steps.stride),
            )
        case Seam():
            return MethodParts(
                second_view=True,
                weights=LossWeights(er=method.er_weight, ecr=method.ecr_weight),
            )
        case FixedShuffle() | SegMix():
            return MethodParts(
                second_view=True,
                weights=LossWeights(
                    shuffle=method.shuffle_weight,
                    er=method.er_weight,
                    ecr=method.ecr_weight,
                ),
                make_curriculum=_curriculum_of(method),
                scope=ShuffleScope(method.group_size, method.in_place, method.exact),
                label_rule=LabelRule(method.labels),
            )
        case SegMixPlus():
            return _parts_of_plus(method)


def shares_foreground(method: Method, background: str) -> bool:
    """Say whether classes of networks that learn from masks share a foreground.

    ``background`` is the rule by which these masks are made.
    """
    return parts_of(method).shared_foreground and background != "none"


def _parts_of_plus(method: SegMixPlus) -> MethodParts:
    # An area share does not match the score of the strongest cells.
    kind: LabelKind = "present" if method.pooled_share < 1 else "certain"
    return MethodParts(
        weights=LossWeights(shuffle=method.shuffle_weight),
        make_curriculum=_curriculum_of(method),
        scope=ShuffleScope(method.group_size, method.in_place, method.exact),
        label_rule=LabelRule(kind, method.pooled_share),
        fusion=method.fusion,
        pooled_share=method.pooled_share,
        pooled_mean=method.pooled_mean,
        normalized_stain=method.stain_normalization,
        # Each network needs at least one epoch.
        rounds=min(method.rounds, method.epochs - 1),
        shared_foreground=method.shared_foreground,
    )


def _curriculum_of(method: FixedShuffle | SegMix | SegMixPlus) -> MakeCurriculum:
    if method.shuffle_weight == 0:
        return _no_curriculum
    if isinstance(method, FixedShuffle):
        return lambda steps: make_controller(
            "fixed",
            list_patch_sizes(steps.tile_px, steps.tile_px, stride=steps.stride),
            tile_px=steps.tile_px,
            total_steps=steps.epochs * steps.per_epoch,
            steps_per_epoch=steps.per_epoch,
            patch_size=method.patch_size,
            fixed_ratio=method.shuffle_ratio,
        )
    return lambda steps: make_controller(
        method.strategy,
        _patch_sizes(method, steps),
        tile_px=steps.tile_px,
        total_steps=steps.epochs * steps.per_epoch,
        steps_per_epoch=steps.per_epoch,
        min_ratio=method.min_ratio,
        max_ratio=method.max_ratio,
        warmup=method.warmup,
        threshold=method.threshold,
        patience=method.patience,
    )


def _patch_sizes(method: SegMix | SegMixPlus, steps: Steps) -> tuple[int, ...]:
    edge, stride = steps.tile_px, steps.stride
    if method.patch_sizes:
        return check_patch_sizes(method.patch_sizes, edge, edge, stride=stride)
    return list_patch_sizes(edge, edge, stride=stride)
