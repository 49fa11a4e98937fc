"""What each method of the classifier consists of."""

from dataclasses import dataclass, replace

from segmix_core.config import RunConfig
from segmix_core.curriculum.mixed_labels import LabelRule
from segmix_core.sections.train import Method, TrainConfig
from segmix_core.training.loss_weights import LossWeights


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodParts:
    """The switches of a method, beside the classification of whole tiles.

    Attributes
    ----------
    seam
        A second view of each tile, with the losses ER and ECR, and the PCM.
    shuffle
        Shuffled tiles.
    is_fixed
        Shuffle at one level throughout, whatever the strategy of the settings.
    plus
        The additions of SegMix+.
    puzzle
        Quarters of tiles, as Puzzle-CAM.
    """

    seam: bool = False
    shuffle: bool = False
    is_fixed: bool = False
    plus: bool = False
    puzzle: bool = False

    def weights(self, settings: TrainConfig) -> LossWeights:
        """Return the weights of the settings, 0 for the terms of other methods."""
        return LossWeights(
            shuffle=settings.shuffle_weight,
            er=settings.er_weight,
            ecr=settings.ecr_weight,
            unshuffle=settings.unshuffle_weight if self.plus else 0.0,
            pixel=settings.pixel_weight if self.plus else 0.0,
            puzzle=settings.puzzle_weight if self.puzzle else 0.0,
        )

    def fusion(self, settings: TrainConfig) -> bool:
        """Say whether maps come from both taps of the backbone."""
        return self.plus and settings.fusion

    def pooled_share(self, settings: TrainConfig) -> float:
        """Return the share of a map that answers for a tile."""
        return settings.pooled_share if self.plus else 1.0

    def pooled_mean(self, settings: TrainConfig) -> float:
        """Return the weight of the whole map beside that share."""
        return settings.pooled_mean if self.plus else 0.0

    def stain_normalisation(self, settings: TrainConfig) -> bool:
        """Say whether all images get the same colours."""
        return self.plus and settings.stain_normalisation

    def rounds(self, settings: TrainConfig) -> int:
        """Return how many networks learn from masks, after the one of the labels.

        Each network has at least one of the epochs.
        """
        return min(settings.rounds, settings.epochs - 1) if self.plus else 0


METHODS: dict[Method, MethodParts] = {
    "cam": MethodParts(),
    "seam": MethodParts(seam=True),
    "fixed-shuffle": MethodParts(seam=True, shuffle=True, is_fixed=True),
    "segmix": MethodParts(seam=True, shuffle=True),
    "segmix-plus": MethodParts(seam=True, shuffle=True, plus=True),
    "puzzle-cam": MethodParts(puzzle=True),
}


def parts_of(settings: TrainConfig) -> MethodParts:
    """Return the parts of the chosen method.

    What SegMix+ takes over from SegMix can be left out, to see what it is worth: the
    second view by its switch, shuffled tiles by having no weight for them. Published
    methods keep their parts.
    """
    parts = METHODS[settings.method]
    if not parts.plus:
        return parts
    weights = parts.weights(settings)
    return replace(
        parts,
        seam=settings.second_view,
        shuffle=max(weights.shuffle, weights.unshuffle, weights.pixel) > 0,
    )


def shares_foreground(config: RunConfig) -> bool:
    """Say whether classes of networks that learn from masks share a foreground."""
    wanted = METHODS[config.train.method].plus and config.train.shared_foreground
    return wanted and config.pseudo_masks.background != "none"


def label_rule(config: RunConfig) -> LabelRule:
    """Return what the labels of shuffled tiles say."""
    kind, share = config.curriculum.labels, config.train.pooled_share
    parts = METHODS[config.train.method]
    if kind != "auto":
        return LabelRule(kind, share)
    if not parts.plus:
        return LabelRule("area")
    # A share of the area is no answer to what the strongest cells say.
    return LabelRule(
        "present" if parts.pooled_share(config.train) < 1 else "certain", share
    )
