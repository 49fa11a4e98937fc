"""What is known of a tile whose patches come from several tiles."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

LabelKind = Literal["area", "certain", "present"]

# Shares are sums of 1 / patches, and may miss their value by rounding.
_ROUNDING = 1e-4


@dataclass(frozen=True, slots=True)
class LabelRule:
    """What the labels of a shuffled tile say.

    Parameters
    ----------
    kind
        "area": the share of the area whose tiles have the class (CellMix, appendix
        S3.B).

        "certain": that share, where it is certain. A tile of two classes has patches
        that show one of them alone, so its label says little of the area elsewhere. A
        share is kept only where the class is in all sources, in none, or no source has
        a second class.

        "present": 1 where tiles of this class alone give at least ``least_share`` of
        the area, or all sources have the class; 0 where none has it.
    least_share
        Of "present", in 0..1: what of a tile a class covers that is labeled.

    Raises
    ------
    ValueError
        If ``kind`` is none of these, or ``least_share`` is not in 0..1.
    """

    kind: LabelKind = "area"
    least_share: float = 0.1

    def __post_init__(self) -> None:
        if self.kind not in (kinds := get_args(LabelKind)):
            raise ValueError(
                f"{self.kind!r} is not a rule for labels ({', '.join(kinds)})"
            )
        if not 0 <= self.least_share <= 1:
            raise ValueError(f"least_share must be in 0..1, not {self.least_share}")


AREA = LabelRule()
"""As in CellMix and SegMix."""


def mix_labels(
    labels: Tensor, sources: Tensor, rule: LabelRule = AREA
) -> tuple[Tensor, Tensor]:
    """Return the labels of shuffled tiles.

    Parameters
    ----------
    labels
        (B, K) of the tiles before: 1 present, 0 absent, -1 unknown.
    sources
        (B, rows, cols) int64: tile that each patch comes from.
    rule
        What they say.

    Returns
    -------
    labels
        (B, K) float, in [0, 1]; -1 where the rule leaves it open, or for shares where a
        patch comes from a tile in which the class is unknown.
    present
        (B, K) bool: some patch comes from a tile with the class.
    """
    shares = _shares(sources, len(labels))
    positive = shares @ (labels > 0).to(shares)
    if rule.kind == "present":
        return _presence(positive, labels, shares, rule.least_share), positive > 0
    unknown = shares @ (labels < 0).to(shares) > 0
    # Sums of shares may exceed one by rounding, which the loss would not accept.
    soft = positive.clamp(max=1).masked_fill(unknown, -1)
    if rule.kind == "certain":
        soft = soft.masked_fill(~_is_certain(soft, labels, shares), -1)
    return soft, positive > 0


def _shares(sources: Tensor, count: int) -> Tensor:
    """Return (B, B): the share of tile b that comes from tile s."""
    flat = sources.flatten(1)
    shares = torch.zeros(count, count, dtype=torch.float32, device=flat.device)
    shares.scatter_add_(1, flat, torch.full(flat.shape, 1.0, device=flat.device))
    return shares / flat.shape[1]


def _is_certain(soft: Tensor, labels: Tensor, shares: Tensor) -> Tensor:
    """Return (B, K) bool: labels of whole tiles say what share has the class."""
    has_several = (labels > 0).sum(dim=1) > 1
    all_have_one = shares @ has_several.to(shares)[:, None] == 0
    return (soft == 0) | (soft > 1 - _ROUNDING) | all_have_one


def _presence(
    positive: Tensor, labels: Tensor, shares: Tensor, least_share: float
) -> Tensor:
    is_alone = (labels > 0) & ((labels != 0).sum(dim=1, keepdim=True) == 1)
    sure = shares @ is_alone.to(shares)
    is_present = (sure > 0) & (sure >= least_share - _ROUNDING)
    is_present |= positive > 1 - _ROUNDING
    is_absent = shares @ (labels != 0).to(shares) == 0
    # What is neither stays open.
    return is_present.to(shares) - (~is_present & ~is_absent).to(shares)
