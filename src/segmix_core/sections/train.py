"""How the CAM classifier is trained, as settings."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from segmix_core.encoders import DOWNLOAD, SCRATCH
from segmix_core.sections.section import Section

Method = Literal["cam", "seam", "puzzle-cam", "fixed-shuffle", "segmix", "segmix-plus"]

_NEWER = {
    "second_view",
    "pooled_share",
    "pooled_mean",
    "stain_normalisation",
    "shared_foreground",
    "background_channel",
}
"""What the first runs with rounds do not have; a setting that is added belongs here."""

_BEFORE = {"stain_normalisation": False, "shared_foreground": False, "pooled_mean": 0.0}
"""How runs went on that do not have a setting, where it is another way by default."""


class TrainConfig(Section):
    """How the CAM classifier is trained."""

    method: Method = Field(
        "segmix-plus", description="Which losses and shuffle are used."
    )
    backbone: str = Field(
        "small",
        description="'small', a timm model name, or a pathology encoder such as "
        "hf-hub:MahmoodLab/UNI.",
    )
    weights: str = Field(
        SCRATCH,
        description="Initial weights of the backbone: 'scratch', 'download' (its "
        "published weights, under their license), or the path of a .safetensors file.",
    )
    freeze: bool = Field(
        False, description="Keep the weights of the backbone as they were loaded."
    )
    stride: Literal[8, 16] | None = Field(
        None,
        description="Pixels a cell of the maps; empty: 8 where the backbone can, 16 "
        "where not, and the patch of a vision transformer.",
    )
    width: int = Field(
        32, ge=8, le=256, description="Channels of the small backbone's first layer."
    )
    epochs: int = Field(
        24,
        ge=1,
        le=1000,
        description="Passes over the tiles. With few labeled tiles, SegMix+ needs "
        "about 24, the other methods about 8.",
    )
    batch_size: int = Field(16, ge=2, le=1024, description="Tiles in a step.")
    learning_rate: float = Field(2e-3, gt=0, le=1, description="Peak learning rate.")
    weight_decay: float = Field(1e-2, ge=0, le=1, description="AdamW weight decay.")
    average: bool = Field(
        True, description="Predict with a moving average of the weights of all steps."
    )
    keep: Literal["last", "best"] = Field(
        "last",
        description="Weights that make the maps: of the end, or of the epoch with the "
        "lowest loss on the tiles of the split val, if there are any.",
    )
    shuffle_weight: float = Field(
        1.0, ge=0, description="Weight of the loss on shuffled tiles."
    )
    er_weight: float = Field(
        0.2, ge=0, description="Weight of equivariant regularisation (SEAM ER)."
    )
    ecr_weight: float = Field(
        1.0, ge=0, description="Weight of cross regularisation (SEAM ECR)."
    )
    background_channel: bool = Field(
        False,
        description="The PCM and ECR (SEAM) know background, too, as what no class "
        "claims, and scale each class by itself: for objects on background.",
    )
    unshuffle_weight: float = Field(
        0.0,
        ge=0,
        description="SegMix+: weight of maps of shuffled tiles agreeing with the "
        "tiles their patches come from.",
    )
    pixel_weight: float = Field(
        0.0,
        ge=0,
        description="SegMix+: weight of patches of tiles with one label being that "
        "class everywhere; 0 where tiles have background.",
    )
    second_view: bool = Field(
        False, description="SegMix+: learn from a second view, too, as SEAM does."
    )
    fusion: bool = Field(
        True,
        description="SegMix+: finer maps, from early and late features together.",
    )
    stain_normalisation: bool = Field(
        True,
        description="SegMix+: give all slides or cases the same colors, so that the "
        "network does not learn from stain differences. Tiles outside of them do not "
        "change.",
    )
    shared_foreground: bool = Field(
        True,
        description="SegMix+: a network that learns from masks with background says "
        "where any class is, then which; so classes mend each other's masks.",
    )
    pooled_share: float = Field(
        0.1,
        gt=0,
        le=1,
        description="SegMix+: share of a map, its strongest cells, whose mean answers "
        "for the tile: about as much of a tile as a label means at least. 1: all.",
    )
    pooled_mean: float = Field(
        0.5,
        ge=0,
        le=1,
        description="SegMix+: weight of the mean of the whole map in that answer; "
        "the strongest cells have the rest.",
    )
    rounds: int = Field(
        1,
        ge=0,
        le=5,
        description="SegMix+: times that a fresh network learns from the masks of the "
        "one before; all share the epochs, so there are fewer rounds than epochs.",
    )
    puzzle_weight: float = Field(
        4.0,
        gt=0,
        description="Puzzle-CAM: weight of maps of tiles agreeing with those of "
        "their quarters.",
    )
    seed: int = Field(0, ge=0, description="Seed of everything random.")

    @property
    def learns_from_masks(self) -> bool:
        """Whether a network learns from the masks of the one before."""
        return self.method == "segmix-plus" and self.rounds > 0 and self.epochs > 1

    @model_validator(mode="before")
    @classmethod
    def _read_pretrained(cls, content: Any) -> Any:
        # Runs of 0.1 had a switch instead.
        if isinstance(content, dict) and "pretrained" in content:
            weights = DOWNLOAD if content["pretrained"] is True else SCRATCH
            others = {n: v for n, v in content.items() if n != "pretrained"}
            return {"weights": weights, **others}
        return content

    @model_validator(mode="before")
    @classmethod
    def _read_complete(cls, content: Any) -> Any:
        # Runs of before have all other settings, unlike files of users, and go on as
        # they began.
        oldest = cls.model_fields.keys() - _NEWER
        if isinstance(content, dict) and oldest <= content.keys():
            return _BEFORE | content
        return content

    @field_validator("weights")
    @classmethod
    def _is_source(cls, weights: str) -> str:
        if weights in (SCRATCH, DOWNLOAD):
            return weights
        if not weights.endswith(".safetensors"):
            raise ValueError(
                f"Input should be '{SCRATCH}', '{DOWNLOAD}' or the path of a "
                ".safetensors file"
            )
        # The run is a process of its own, with another working directory.
        return str(Path(weights).expanduser().absolute())

    @model_validator(mode="after")
    def _frozen_is_loaded(self) -> Self:
        if self.freeze and self.weights == SCRATCH:
            raise ValueError("freeze needs weights other than 'scratch'")
        return self
