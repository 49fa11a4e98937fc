"""The settings of pseudo masks."""

from typing import Literal

from pydantic import Field

from segmix_core.sections.section import Section


class PseudoMaskConfig(Section):
    """How CAMs become pseudo masks."""

    background: Literal["none", "score", "glass"] = Field(
        "glass",
        description="none: every pixel gets a class; score: pixels of low CAM are "
        "background; glass: white pixels are background. SegMix+ asks while it trains, "
        "too: its second network learns from such masks.",
    )
    background_score: float = Field(
        0.30, ge=0, le=1, description="CAM below which a pixel is background."
    )
    gate: float = Field(
        0.50,
        ge=0,
        le=1,
        description="Probability a class of unknown label needs to take part.",
    )
    fit: bool = Field(
        False,
        description="Choose the gate of each class, and the background score, on "
        "images of the split val. Values that cannot be determined keep their setting.",
    )
    normalisation: Literal["class", "joint"] = Field(
        "joint", description="Scale CAMs per class or all classes together."
    )
    margin: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Pixels whose two best classes are closer are ignored.",
    )
    min_object_px: int = Field(
        64, ge=0, description="Smaller objects are ignored, in mask pixels."
    )
    min_object_um2: float | None = Field(
        None,
        ge=0,
        description="The same in µm²; wins over the pixels in images whose pixel size "
        "is known. Empty: the pixels count everywhere.",
    )
    min_hole_px: int = Field(
        0,
        ge=0,
        description="Smaller holes in a class become that class, in mask pixels.",
    )
    min_hole_um2: float | None = Field(
        None,
        ge=0,
        description="The same in µm²; wins over the pixels in images whose pixel size "
        "is known. Empty: the pixels count everywhere.",
    )
    refinement: Literal["none", "superpixels", "random-walker"] = Field(
        "none",
        description="Move edges to where the image has them: superpixels vote, or "
        "surest pixels spread over pixels that look alike.",
    )
    superpixel_px: int = Field(
        50, ge=16, description="Mean area of a superpixel, in mask pixels."
    )
    superpixel_share: float = Field(
        0.60,
        ge=0,
        le=1,
        description="Share of the votes that a class needs; else the superpixel is "
        "ignored.",
    )
    walker_seeds: float = Field(
        0.50,
        ge=0,
        le=1,
        description="Random walker: share of each class's pixels, the surest, that "
        "stay as they are.",
    )
    walker_beta: float = Field(
        130.0, gt=0, description="Random walker: how much edges of the image hinder."
    )
