"""The settings of a run, one class per stage: frozen and validated.

Forms and help are generated from them. The functions for training and inference take
plain keyword arguments instead. Does not load torch.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, ValidationError, model_validator

from segmix_core.errors import ConfigError
from segmix_core.methods import (
    DEFAULT_METHOD,
    METHODS,
    Method,
    SegMixPlus,
    Settings,
    as_config_error,
)


class CamSettings(Settings):
    """How class activation maps are computed.

    Examples
    --------
    >>> sx.CamSettings(flips=False).scales
    (1.0,)
    """

    title: ClassVar[str] = "cams"
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
        description="Context around a tile cut from a larger image, in pixels.",
    )
    batch_size: int = Field(32, ge=1, description="Tiles per batch.")

    @model_validator(mode="after")
    def _scales_are_positive(self) -> Self:
        if not self.scales or not all(0 < scale <= 4 for scale in self.scales):
            raise ValueError("scales must be one or more numbers above 0, at most 4")
        return self


class PseudoMaskSettings(Settings):
    """How CAMs become pseudo masks.

    Examples
    --------
    >>> sx.PseudoMaskSettings(background="score").background_score
    0.3
    """

    title: ClassVar[str] = "pseudo_masks"
    background: Literal["none", "score", "glass"] = Field(
        "glass",
        description="none: every pixel gets a class; score: pixels of low CAM are "
        "background; glass: white pixels are background. SegMix+ also uses this in "
        "training, for the masks that its second network learns from.",
    )
    background_score: float = Field(
        0.30, ge=0, le=1, description="CAM below which a pixel is background."
    )
    gate: float = Field(
        0.50,
        ge=0,
        le=1,
        description="Probability above which a class with unknown label is included.",
    )
    fit: bool = Field(
        False,
        description="Fit the gate of each class and the background score to the "
        "images of the split val. Values that cannot be fitted keep their setting.",
    )
    normalization: Literal["class", "joint"] = Field(
        "joint", description="Scale CAMs per class or all classes together."
    )
    margin: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Pixels are ignored if their two best classes differ by less.",
    )
    min_object_px: int = Field(
        64, ge=0, description="Smaller objects are ignored, in mask pixels."
    )
    min_object_um2: float | None = Field(
        None,
        ge=0,
        description="The same in µm², used instead in images with known pixel size. "
        "Empty: always use pixels.",
    )
    min_hole_px: int = Field(
        0,
        ge=0,
        description="Smaller holes in a class become that class, in mask pixels.",
    )
    min_hole_um2: float | None = Field(
        None,
        ge=0,
        description="The same in µm², used instead in images with known pixel size. "
        "Empty: always use pixels.",
    )


class SegmenterSettings(Settings):
    """How the segmenter is trained.

    Networks are those of segmentation-models-pytorch. Losses for wrong labels: oeem (Li
    et al., MICCAI 2022), gce (Zhang and Sabuncu, NeurIPS 2018), sce (Wang et al., ICCV
    2019), bootstrapped (Reed et al., ICLR 2015 workshop).

    Examples
    --------
    >>> sx.SegmenterSettings(loss="gce").decoder
    'unet'
    """

    title: ClassVar[str] = "segmenter"
    decoder: Literal["unet", "fpn", "deeplabv3plus"] = Field(
        "unet", description="Decoder of segmentation-models-pytorch."
    )
    encoder: str = Field(
        "tu-resnet18",
        description="An encoder of segmentation-models-pytorch; tu-NAME: of timm.",
    )
    depth: Literal[3, 4, 5] = Field(
        3,
        description="Downsampling stages of the encoder: 3 for textures and small "
        "tiles, up to 5 for structures that need a wide view.",
    )
    pretrained: bool = Field(False, description="Let the library download weights.")
    epochs: int = Field(
        0,
        ge=0,
        le=1000,
        description="Passes over the tiles; 0 = automatic: 8 epochs, and at least 100 "
        "steps.",
    )
    batch_size: int = Field(16, ge=2, le=1024, description="Tiles per training step.")
    learning_rate: float = Field(1e-3, gt=0, le=1, description="Peak learning rate.")
    loss: Literal["ce", "oeem", "gce", "sce", "bootstrapped"] = Field(
        "ce",
        description="Pixel loss. ce: cross entropy, trusts every label. For noisy "
        "pseudo labels: oeem prefers pixels that agree with their mask; gce "
        "(generalized) and sce (symmetric cross entropy) are less sensitive to "
        "outliers; bootstrapped mixes labels with the network's prediction.",
    )
    label_smoothing: float = Field(
        0.0,
        ge=0,
        le=0.5,
        description="Label smoothing: share of a pseudo label spread over all "
        "classes; ce and oeem only.",
    )
    dice_weight: float = Field(0.5, ge=0, description="Weight of the Dice loss.")
    corrected_weight: float = Field(
        4.0, ge=1, description="Weight of corrected pixels; other pixels have 1."
    )
    average: bool = Field(
        True, description="Predict with a moving average of the weights of all steps."
    )
    seed: int = Field(0, ge=0, description="Random seed.")

    @model_validator(mode="after")
    def _loss_takes_smoothing(self) -> Self:
        if self.label_smoothing > 0 and self.loss not in ("ce", "oeem"):
            raise ValueError(
                f"label_smoothing must be 0 with the loss {self.loss}; only ce and "
                "oeem use it"
            )
        return self


class PredictSettings(Settings):
    """How whole slides are predicted.

    Examples
    --------
    >>> sx.PredictSettings(window_px=1024).overlap_px
    64
    """

    title: ClassVar[str] = "predict"
    window_px: int = Field(512, ge=64, description="Edge of a window, in pixels.")
    overlap_px: int = Field(64, ge=0, description="Overlap of windows, in pixels.")
    flips: bool = Field(False, description="Average over flips and quarter turns.")
    batch_size: int = Field(4, ge=1, description="Windows per batch.")

    @model_validator(mode="after")
    def _overlap_is_smaller(self) -> Self:
        if 2 * self.overlap_px >= self.window_px:
            raise ValueError("overlap_px must be less than half of window_px")
        return self


class MachineSettings(Settings):
    """Where a run computes.

    Examples
    --------
    >>> sx.MachineSettings(device="cpu").precision
    'auto'
    """

    title: ClassVar[str] = "machine"
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1 or mps.")
    precision: Literal["auto", "float32", "bf16"] = Field(
        "auto",
        description="Number format of the networks. auto: bf16 if the hardware "
        "supports it, but float32 for training on a CPU.",
    )
    threads: int = Field(
        0,
        ge=0,
        le=4096,
        description="CPU threads; 0 = automatic: all cores but one.",
    )


class RunSettings(Settings):
    """All settings of a run; every stage reads the sections it needs."""

    title: ClassVar[str] = "A run"
    train: Method = SegMixPlus()
    cams: CamSettings = CamSettings()
    pseudo_masks: PseudoMaskSettings = PseudoMaskSettings()
    segmenter: SegmenterSettings = SegmenterSettings()
    predict: PredictSettings = PredictSettings()
    machine: MachineSettings = MachineSettings()

    @model_validator(mode="before")
    @classmethod
    def _has_a_method(cls, content: Any) -> Any:
        train = content.get("train") if isinstance(content, dict) else None
        if isinstance(train, dict):
            return {**content, "train": {"method": DEFAULT_METHOD, **train}}
        return content

    @property
    def trained_background(self) -> str | None:
        """The background setting of the masks used in training.

        Later pseudo masks use the same by default. None if no network learns from
        masks.
        """
        if not self.train.learns_from_masks:
            return None
        return self.pseudo_masks.background

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> "RunSettings":
        """Build from JSON content.

        Raises
        ------
        ConfigError
            If a setting is unknown or out of range, or settings conflict; names the
            first.
        """
        try:
            return cls.model_validate(dict(content))
        except ValidationError as error:
            raise as_config_error(error) from error

    def replace(self, changes: Mapping[str, Any]) -> "RunSettings":
        """Return a copy with dotted settings changed, e.g. ``{"train.epochs": 4}``.

        A new ``train.method`` keeps the chosen settings that it has; all others get its
        defaults.

        Raises
        ------
        ConfigError
            If a setting is unknown or out of range, or was chosen for the old method
            but does not exist in the new one.
        """
        content = self.model_dump(exclude_unset=True)
        method = changes.get("train.method", self.train.method)
        if method != self.train.method and method in [*METHODS]:
            content["train"] = self._chosen_for(method)
        for name, value in changes.items():
            section, _, field = name.partition(".")
            if section not in type(self).model_fields or not field:
                raise ConfigError(
                    f"'{name}' is not a setting.",
                    "Write it as section.field; the sections are "
                    f"{', '.join(self.fields())}.",
                )
            content.setdefault(section, {})[field] = value
        if "train" in content:
            content["train"] = {"method": method, **content["train"]}
        return RunSettings.parse(content)

    def _chosen_for(self, method: str) -> dict[str, Any]:
        """Return the chosen training settings, without the defaults of the old method.

        The settings of a finished run contain all fields of its method.
        """
        former, known = type(self.train).model_fields, METHODS[method].model_fields
        return {
            name: value
            for name, value in self.train.model_dump(exclude_unset=True).items()
            if name != "method"
            and (name in known or value != former[name].get_default())
        }
