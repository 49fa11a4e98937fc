"""The settings of a run: frozen, validated, shown by the form and by ``--help``.

Only :mod:`segmix_core.pipeline`, the command line and the plugin's form read these
classes; below them everything takes plain keyword arguments.
"""

from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from segmix_core.errors import ConfigError
from segmix_core.sections.pseudo_masks import PseudoMaskConfig
from segmix_core.sections.section import Section
from segmix_core.sections.train import TrainConfig

Strategy = Literal[
    "hold",
    "back",
    "linear",
    "decay",
    "fixed",
    "random",
    "loop",
    "reverse",
    "cellmix",
]

_NEWER_OF_SEGMENTER = {"depth", "loss", "label_smoothing", "average"}
"""What the first segmenters do not have; a setting that is added belongs here."""


class CurriculumConfig(Section):
    """How tiles are shuffled, and when the shuffle becomes harder."""

    strategy: Strategy = Field(
        "hold", description="What to do while the loss is above the threshold."
    )
    patch_sizes: tuple[int, ...] | None = Field(
        None, description="Patch sizes in pixels; empty: divisors of the tile size."
    )
    patch_size: int | None = Field(
        None, ge=4, description="Patch size of the fixed strategy and of warm-up."
    )
    min_ratio: float = Field(
        0.10, ge=0, le=1, description="Shuffle ratio at the start."
    )
    max_ratio: float = Field(0.75, ge=0, le=1, description="Shuffle ratio at the end.")
    fixed_ratio: float = Field(
        0.30, ge=0, le=1, description="Shuffle ratio of the fixed strategy."
    )
    group_size: int = Field(
        2,
        ge=0,
        le=64,
        description="Tiles that exchange patches with each other; 0: the whole batch; "
        "1: patches move inside their own tile, with in_place off.",
    )
    in_place: bool = Field(
        True, description="Patches keep their position and change only their tile."
    )
    exact: bool = Field(True, description="Every taking-part patch moves.")
    labels: Literal["auto", "area", "certain", "present"] = Field(
        "auto",
        description="Labels of shuffled tiles. area: shares of the area; certain: only "
        "where tiles of several classes leave no doubt about a share; present: whether "
        "the class is there, where that is sure. auto: area in published methods; in "
        "SegMix+ present, or certain where train.pooled_share is 1.",
    )
    warmup: float = Field(
        0.10, ge=0, le=0.9, description="Share of the steps before feedback starts."
    )
    threshold: float | None = Field(
        None,
        gt=0,
        description="Relative loss below which it gets harder; 1 is as good as "
        "guessing by class frequency. Empty: from warm-up.",
    )
    patience: int = Field(
        4, ge=1, description="Feedbacks without progress before the planned level."
    )

    @model_validator(mode="after")
    def _ratios_ascend(self) -> Self:
        if self.min_ratio > self.max_ratio:
            raise ValueError("min_ratio must not be larger than max_ratio")
        return self

    @model_validator(mode="after")
    def _something_can_move(self) -> Self:
        if self.group_size == 1 and self.in_place:
            raise ValueError("in_place must be off where group_size is 1")
        return self


class CamConfig(Section):
    """How class activation maps are computed."""

    scales: tuple[float, ...] = Field(
        (1.0,), description="Image scales that are averaged."
    )
    flips: bool = Field(True, description="Average over flips and quarter turns.")
    refine: float = Field(
        0.25, ge=0, le=1, description="Share of the PCM-refined map in the CAM."
    )
    context_px: int = Field(
        32,
        ge=0,
        le=1024,
        description="Pixels around a tile of a larger image that are seen with it.",
    )
    batch_size: int = Field(32, ge=1, description="Tiles at a time.")

    @model_validator(mode="after")
    def _scales_are_positive(self) -> Self:
        if not self.scales or not all(0 < scale <= 4 for scale in self.scales):
            raise ValueError("scales must be one or more numbers above 0, at most 4")
        return self


class SegmenterConfig(Section):
    """How the segmenter is trained."""

    decoder: Literal["unet", "fpn", "deeplabv3plus"] = Field(
        "unet", description="Decoder of segmentation-models-pytorch."
    )
    encoder: str = Field(
        "tu-resnet18",
        description="An encoder of segmentation-models-pytorch; tu-NAME: of timm.",
    )
    depth: Literal[3, 4, 5] = Field(
        3,
        description="Halvings of the size in the encoder: 3 for textures and small "
        "tiles, up to 5 for what only a wide view shows.",
    )
    pretrained: bool = Field(False, description="Let the library download weights.")
    epochs: int = Field(
        0,
        ge=0,
        le=1000,
        description="Passes over the tiles; 0: 8, or where few tiles are as many as "
        "100 steps take.",
    )
    batch_size: int = Field(16, ge=2, le=1024, description="Tiles in a step.")
    learning_rate: float = Field(1e-3, gt=0, le=1, description="Peak learning rate.")
    loss: Literal["ce", "oeem", "gce", "sce", "bootstrapped"] = Field(
        "ce",
        description="Loss of pixels. ce: cross entropy, every label is believed. For "
        "wrong pseudo labels: oeem prefers pixels that agree with their mask; gce "
        "(generalised) and sce (symmetric cross entropy) follow outliers less; "
        "bootstrapped mixes labels with the network's choice.",
    )
    label_smoothing: float = Field(
        0.0,
        ge=0,
        le=0.5,
        description="Share of a pseudo label spread over all classes; ce and oeem "
        "only.",
    )
    dice_weight: float = Field(0.5, ge=0, description="Weight of the Dice loss.")
    corrected_weight: float = Field(
        4.0, ge=1, description="Weight of corrected pixels; pseudo pixels have 1."
    )
    average: bool = Field(
        True, description="Predict with a moving average of the weights of all steps."
    )
    seed: int = Field(0, ge=0, description="Seed of everything random.")

    @model_validator(mode="before")
    @classmethod
    def _read_older(cls, content: Any) -> Any:
        # Runs have all other settings, unlike files of users: without a depth they are
        # of before it was one.
        oldest = cls.model_fields.keys() - _NEWER_OF_SEGMENTER
        if isinstance(content, dict) and oldest <= content.keys():
            older = 5 if content["decoder"] == "fpn" else 4
            return {"depth": older, **content}
        return content

    @model_validator(mode="after")
    def _loss_takes_smoothing(self) -> Self:
        if self.label_smoothing > 0 and self.loss not in ("ce", "oeem"):
            raise ValueError(
                f"label_smoothing must be 0 with the loss {self.loss}; ce and oeem "
                "take it"
            )
        return self


class PredictConfig(Section):
    """How whole slides are predicted."""

    window_px: int = Field(512, ge=64, description="Edge of a window, in pixels.")
    overlap_px: int = Field(64, ge=0, description="Overlap of windows, in pixels.")
    flips: bool = Field(False, description="Average over flips and quarter turns.")
    batch_size: int = Field(4, ge=1, description="Windows at a time.")

    @model_validator(mode="after")
    def _overlap_is_smaller(self) -> Self:
        if 2 * self.overlap_px >= self.window_px:
            raise ValueError("overlap_px must be less than half of window_px")
        return self


class MachineConfig(Section):
    """Where a run computes."""

    device: str = Field("auto", description="auto, cpu, cuda, cuda:1 or mps.")
    precision: Literal["auto", "float32", "bf16"] = Field(
        "auto",
        description="Numbers that networks compute in. auto: bf16 where there are "
        "instructions for it, but float32 for training on a processor.",
    )
    threads: int = Field(
        0, ge=0, description="CPU threads; 0: one less than there are cores."
    )


class RunConfig(Section):
    """All settings of a run; every stage reads the sections it needs."""

    train: TrainConfig = TrainConfig()
    curriculum: CurriculumConfig = CurriculumConfig()
    cams: CamConfig = CamConfig()
    pseudo_masks: PseudoMaskConfig = PseudoMaskConfig()
    segmenter: SegmenterConfig = SegmenterConfig()
    predict: PredictConfig = PredictConfig()
    machine: MachineConfig = MachineConfig()

    @model_validator(mode="before")
    @classmethod
    def _read_older_plus(cls, content: Any) -> Any:
        train = content.get("train") if isinstance(content, dict) else None
        if not (isinstance(train, dict) and "pretrained" in train):
            return content
        if train.get("method") != "segmix-plus":
            return content
        # Only runs of 0.1 have the switch "pretrained"; this was SegMix+ then.
        older = {
            "fusion": False,
            "rounds": 0,
            "second_view": True,
            "pooled_share": 1.0,
            "stain_normalisation": False,
            "shared_foreground": False,
        }
        train = {**older, **train}
        curriculum = {"labels": "area", **content.get("curriculum", {})}
        return {**content, "train": train, "curriculum": curriculum}

    @property
    def trained_background(self) -> str | None:
        """The background of the masks that a training with these settings learns from.

        Pseudo masks made after it have the same, unless another is chosen; None where
        no network learns from masks, because nobody asked for a background then.
        """
        if not self.train.learns_from_masks:
            return None
        return self.pseudo_masks.background

    @classmethod
    def parse(cls, content: dict[str, Any]) -> "RunConfig":
        """Build from JSON content.

        Raises
        ------
        ConfigError
            Naming the first field that is unknown or out of range, or the first fields
            that contradict each other.
        """
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise _as_config_error(error) from error

    def replace(self, changes: dict[str, Any]) -> "RunConfig":
        """Return a copy with dotted fields changed, e.g. ``{"train.epochs": 4}``."""
        content = self.model_dump()
        for name, value in changes.items():
            section, _, field = name.partition(".")
            if field not in content.get(section, {}):
                known = content.get(section, content)
                raise ConfigError(
                    f"{name!r} is not a valid setting.",
                    f"Choose one of {', '.join(known)}.",
                )
            content[section][field] = value
        return RunConfig.parse(content)


def _as_config_error(error: ValidationError) -> ConfigError:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"]) or "settings"
    message = first["msg"].removeprefix("Value error, ")
    # The input of a check of a whole section is every setting.
    if first["type"] == "value_error" and isinstance(first["input"], dict):
        return ConfigError(
            f"Settings of {name} conflict: {message}.",
            "Change one of them.",
        )
    return ConfigError(
        f"{name} has the invalid value {first.get('input')!r} ({message}).",
        "Change it; 'segmix train --help' lists the settings and ranges.",
    )
