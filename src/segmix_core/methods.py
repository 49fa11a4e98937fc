"""The methods that train a CAM classifier: one settings class each.

A class has only the fields of its method, so a setting that a method would ignore is an
error. Does not load torch.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from segmix_core.encoders import DOWNLOAD, SCRATCH
from segmix_core.errors import ConfigError
from segmix_core.files import printable

UNKNOWN_SETTING = "unknown_setting"
"""Type of the validation error for a field that a class does not have."""

_EPOCHS = "Passes over the tiles; in segmix-plus the total of all networks."


if TYPE_CHECKING:
    # Type checkers and editors know the arguments of settings by their fields.
    _Base = BaseModel
else:

    class _ConfigErrors(type(BaseModel)):
        """Makes settings that a program makes wrongly a ConfigError."""

        def __call__(cls, *values: Any, **fields: Any) -> Any:
            try:
                return super().__call__(*values, **fields)
            except ValidationError as error:
                raise as_config_error(error) from error

    class _Base(BaseModel, metaclass=_ConfigErrors):
        pass


class Settings(_Base):
    """A group of settings: frozen, and unknown names are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    title: ClassVar[str] = "settings"

    @classmethod
    def fields(cls) -> tuple[str, ...]:
        """Return the names of the settings."""
        return tuple(name for name in cls.model_fields if name != "method")

    @model_validator(mode="before")
    @classmethod
    def _knows_all_names(cls, content: Any) -> Any:
        unknown = (
            [name for name in content if name not in cls.model_fields]
            if isinstance(content, dict)
            else []
        )
        if unknown:
            name = printable(str(unknown[0]))
            raise PydanticCustomError(
                UNKNOWN_SETTING,
                "{message} {hint}",
                {
                    "message": f"{cls.title} has no setting '{name}'.",
                    "hint": f"Its settings are {', '.join(cls.fields())}.",
                },
            )
        return content


class MethodSettings(Settings):
    """Settings of all methods: length of training, optimizer, and network.

    ``everyday`` lists the settings that users change often; forms and help show them
    first.
    """

    everyday: ClassVar[tuple[str, ...]] = (
        "epochs",
        "batch_size",
        "backbone",
        "weights",
    )

    epochs: int = Field(
        8,
        ge=1,
        le=1000,
        description=_EPOCHS,
    )
    batch_size: int = Field(16, ge=2, le=1024, description="Tiles per training step.")
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
        False, description="Do not train the backbone; keep its initial weights."
    )
    stride: Literal[8, 16] | None = Field(
        None,
        description="Pixels per cell of the maps. Empty: 8 if the backbone supports "
        "it, otherwise 16; for a vision transformer its patch size.",
    )
    width: int = Field(
        32, ge=8, le=256, description="Channels of the small backbone's first layer."
    )
    learning_rate: float = Field(2e-3, gt=0, le=1, description="Peak learning rate.")
    weight_decay: float = Field(1e-2, ge=0, le=1, description="AdamW weight decay.")
    average: bool = Field(
        True, description="Predict with a moving average of the weights of all steps."
    )
    keep: Literal["last", "best"] = Field(
        "last",
        description="Weights that compute the maps: those of the last epoch, or of "
        "the epoch with the lowest loss on the tiles of the split val, if there are "
        "any.",
    )
    seed: int = Field(0, ge=0, description="Random seed.")

    @property
    def learns_from_masks(self) -> bool:
        """Whether a second network learns from the masks of the first."""
        return False

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
        # The run is a separate process with another working directory.
        return str(Path(weights).expanduser().absolute())

    @model_validator(mode="after")
    def _frozen_is_loaded(self) -> Self:
        if self.freeze and self.weights == SCRATCH:
            raise ValueError("freeze needs weights other than 'scratch'")
        return self


class _TwoViews(MethodSettings):
    """Settings of methods with SEAM's second view of each tile."""

    er_weight: float = Field(
        0.2, ge=0, description="Weight of equivariant regularization (SEAM ER)."
    )
    ecr_weight: float = Field(
        1.0, ge=0, description="Weight of cross regularization (SEAM ECR)."
    )


class _Shuffle(MethodSettings):
    """Settings of methods that also learn from shuffled tiles."""

    shuffle_weight: float = Field(
        1.0,
        ge=0,
        description="Weight of the loss on shuffled tiles; 0: no shuffled tiles.",
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
    exact: bool = Field(True, description="Every selected patch moves.")

    @model_validator(mode="after")
    def _something_can_move(self) -> Self:
        if self.group_size == 1 and self.in_place:
            raise ValueError("in_place must be off if group_size is 1")
        return self


class _MixedLabels(MethodSettings):
    """Settings of methods that label shuffled tiles by area, as published."""

    labels: Literal["area", "certain"] = Field(
        "area",
        description="Labels of shuffled tiles. area: area share of each class; "
        "certain: only shares that are certain, though tiles have several classes.",
    )


class _Curriculum(_Shuffle):
    """Settings of methods whose shuffle gets harder during training."""

    strategy: Literal["hold", "cellmix"] = Field(
        "hold",
        description="hold: harder when the loss falls below the threshold; cellmix: "
        "follow a plan, one level ahead of it while the loss is low.",
    )
    patch_sizes: tuple[int, ...] | None = Field(
        None, description="Patch sizes in pixels; empty: divisors of the tile size."
    )
    min_ratio: float = Field(
        0.10, ge=0, le=1, description="Shuffle ratio at the start."
    )
    max_ratio: float = Field(0.75, ge=0, le=1, description="Shuffle ratio at the end.")
    warmup: float = Field(
        0.10,
        ge=0,
        le=0.9,
        description="Warm-up: share of the steps before feedback starts.",
    )
    threshold: float | None = Field(
        None,
        gt=0,
        description="Relative loss below which the shuffle gets harder; 1 equals "
        "guessing by class frequency. Empty: measured during warm-up.",
    )
    patience: int = Field(
        4, ge=1, description="Feedbacks without progress before the planned level."
    )

    @model_validator(mode="after")
    def _ratios_ascend(self) -> Self:
        if self.min_ratio > self.max_ratio:
            raise ValueError("min_ratio must not be larger than max_ratio")
        return self


class Cam(MethodSettings):
    """A plain classifier, whose maps are its class activation maps.

    Source: Zhou et al., "Learning deep features for discriminative localization", CVPR
    2016, equation 2. A setting that is unknown or out of range is a ConfigError.

    Examples
    --------
    >>> sx.Cam(epochs=4).epochs
    4
    """

    title: ClassVar[str] = "cam"
    method: Literal["cam"] = "cam"


class Seam(_TwoViews):
    """SEAM: maps that agree between two views of a tile.

    Source: Wang et al., "Self-supervised equivariant attention mechanism", CVPR 2020:
    equivariant regularization (equation 2), equivariant cross regularization (equation
    5) and the pixel correlation module (section 3.3).

    Examples
    --------
    >>> sx.Seam(er_weight=0.5).er_weight
    0.5
    """

    title: ClassVar[str] = "seam"
    method: Literal["seam"] = "seam"


class PuzzleCam(MethodSettings):
    """Puzzle-CAM: maps of a tile agree with those of its quarters seen apart.

    Source: Jo and Yu, "Puzzle-CAM: improved localization via matching partial and full
    features", ICIP 2021, equation 5.

    Examples
    --------
    >>> sx.PuzzleCam(batch_size=8).puzzle_weight
    4.0
    """

    title: ClassVar[str] = "puzzle-cam"
    method: Literal["puzzle-cam"] = "puzzle-cam"
    puzzle_weight: float = Field(
        4.0,
        gt=0,
        description="Weight of the agreement between the maps of a tile and of its "
        "quarters.",
    )


class FixedShuffle(_TwoViews, _Shuffle, _MixedLabels):
    """SEAM that also learns from shuffled tiles, always equally hard.

    Source: SEAM (Wang et al., CVPR 2020) with the shuffle of CellMix (Zhang et al.,
    arXiv 2301.11513, section 3.1), without its curriculum.

    Examples
    --------
    >>> sx.FixedShuffle(patch_size=16, shuffle_ratio=0.5).patch_size
    16
    """

    title: ClassVar[str] = "fixed-shuffle"
    everyday: ClassVar[tuple[str, ...]] = (
        *MethodSettings.everyday,
        "patch_size",
        "shuffle_ratio",
    )
    method: Literal["fixed-shuffle"] = "fixed-shuffle"
    patch_size: int | None = Field(
        None,
        ge=4,
        description="Patch size in pixels; empty: 32, or a quarter of smaller tiles.",
    )
    shuffle_ratio: float = Field(
        0.30,
        ge=0,
        le=1,
        description="Share of patch positions that take part.",
    )


class SegMix(_TwoViews, _Curriculum, _MixedLabels):
    """SEAM that also learns from shuffled tiles, harder as the loss falls.

    Source: SEAM (Wang et al., CVPR 2020) with the shuffle and the feedback of CellMix
    (Zhang et al., arXiv 2301.11513, sections 3.1 and 3.2).

    Examples
    --------
    >>> sx.SegMix(epochs=12, max_ratio=0.5).strategy
    'hold'
    """

    title: ClassVar[str] = "segmix"
    method: Literal["segmix"] = "segmix"


class SegMixPlus(_Curriculum):
    """Shuffled tiles, finer maps, and a second network that learns from their masks.

    Source: the shuffle of CellMix (Zhang et al., arXiv 2301.11513), top-k pooling mixed
    with the mean (Lee et al., arXiv 1509.08985), and self-training as in noisy student
    (Xie et al., arXiv 1911.04252); the rest is our own, see docs/method.md.

    Examples
    --------
    >>> sx.SegMixPlus(epochs=24).learns_from_masks
    True
    """

    title: ClassVar[str] = "segmix-plus"
    everyday: ClassVar[tuple[str, ...]] = (*MethodSettings.everyday, "rounds")
    method: Literal["segmix-plus"] = "segmix-plus"
    epochs: int = Field(
        24,
        ge=1,
        le=1000,
        description=_EPOCHS,
    )
    rounds: int = Field(
        1,
        ge=0,
        le=5,
        description="Rounds of self-training: in each, a new network learns from the "
        "masks of the one before. All networks share the epochs.",
    )
    fusion: bool = Field(
        True, description="Fuse early and late features for finer maps."
    )
    stain_normalization: bool = Field(
        True,
        description="Give all slides or cases the same colors, so that the network "
        "does not learn from stain differences. Other tiles do not change.",
    )
    shared_foreground: bool = Field(
        True,
        description="Where masks have background, classes of the second network share "
        "one foreground map.",
    )
    pooled_share: float = Field(
        0.1,
        gt=0,
        le=1,
        description="Top-k pooling: share of the strongest map cells whose mean is "
        "the tile's score. Set it to about the smallest share of a tile that a "
        "present class covers. 1: all cells.",
    )
    pooled_mean: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Weight of the mean of the whole map in the tile's score; top-k "
        "pooling has the rest.",
    )

    @property
    def learns_from_masks(self) -> bool:
        """Whether a second network learns from the masks of the first."""
        return self.rounds > 0 and self.epochs > 1


Method = Annotated[
    Cam | Seam | PuzzleCam | FixedShuffle | SegMix | SegMixPlus,
    Field(discriminator="method"),
]
"""Any method, told apart by its field ``method``."""

METHODS: dict[str, type[MethodSettings]] = {
    method.title: method
    for method in (Cam, Seam, PuzzleCam, FixedShuffle, SegMix, SegMixPlus)
}
"""Class by the name of the method."""

DEFAULT_METHOD = SegMixPlus.title


def as_config_error(error: ValidationError) -> ConfigError:
    """Return what is wrong with settings, as two sentences for people."""
    first = error.errors(include_url=False)[0]
    context = first.get("ctx", {})
    if first["type"] == UNKNOWN_SETTING:
        return ConfigError(context["message"], context["hint"])
    if first["type"] == "union_tag_invalid":
        return ConfigError(
            f"'{context['tag']}' is not a valid method.",
            f"Choose one of {', '.join(METHODS)}.",
        )
    # Below "train" stands the method, which is no part of the setting's name.
    place = [str(part) for part in first["loc"]]
    if place[:1] == ["train"]:
        del place[1:2]
    name = ".".join(place) or "settings"
    message = first["msg"].removeprefix("Value error, ")
    # The input of a check of a whole section is every setting.
    if first["type"] == "value_error" and isinstance(first["input"], dict):
        where = f" of {name}" if place else ""
        return ConfigError(
            f"Settings{where} conflict: {message}.", "Change one of them."
        )
    return ConfigError(
        f"{name} has the invalid value {first.get('input')!r} ({message}).",
        "Change it; 'segmix train --help' lists the settings and ranges.",
    )
