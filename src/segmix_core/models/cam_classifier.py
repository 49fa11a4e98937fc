"""The network that learns from tile labels and shows where it looks."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segmix_core.encoders import SCRATCH
from segmix_core.models.checkpoint import Checkpoint, rebuild
from segmix_core.models.initial_weights import InitialWeights, find_weights
from segmix_core.models.make_backbone import make_backbone
from segmix_core.models.pcm import PixelCorrelation
from segmix_core.models.shared_foreground import class_logits
from segmix_core.models.tap_fusion import TapFusion
from segmix_core.models.timm_backbone import published_license


@dataclass(frozen=True, slots=True)
class ClassifierOutput:
    """What the classifier says about a batch.

    Attributes
    ----------
    logits
        (B, C): what ``cam`` says of the whole tile; see ``pooled_share``.
    cam
        (B, C, h, w): raw scores; h is H / ``stride``, H being continued to a multiple
        of ``size_multiple``.
    scores
        What the head says: ``cam`` itself, or (B, 1 + C, h, w) that it is made of, see
        :func:`segmix_core.models.shared_foreground.class_logits`.
    low, high
        (B, ?, ?, ?) each: features for :meth:`CamClassifier.refine`.
    """

    logits: Tensor
    cam: Tensor
    scores: Tensor
    low: Tensor
    high: Tensor


class CamClassifier(nn.Module):
    """Classes of a tile, from one map per class.

    Parameters
    ----------
    num_classes
        C, without background.
    backbone
        See :func:`segmix_core.models.make_backbone.make_backbone`.
    width
        Channels of the small backbone's first layers.
    stride
        Pixels a cell of the maps; None: 8 where the backbone can, else what it has.
    weights
        Of the backbone: "scratch", "download", or the path of a ``.safetensors`` file.
    pcm
        Have a pixel correlation module, for :meth:`refine`.
    fusion
        Make the maps from both taps of the backbone, on the finer grid of the first.
    pooled_share
        Top-k pooling: share of the strongest cells of a map whose mean is the score of
        the tile. 1, all cells, gives a CAM. Below 1 each cell is a probability: for
        labels that mean a class is anywhere in a tile (multiple instance learning), and
        for maps learned from masks.
    pooled_mean
        0..1: weight of the mean of all cells in the score; top-k pooling has the rest
        (mixed pooling, Lee et al., arXiv 1509.08985, with top-k instead of the
        maximum). No effect if ``pooled_share`` is 1.
    shared_foreground
        Each cell predicts foreground, and then the class
        (:mod:`segmix_core.models.shared_foreground`). Needs a ``pooled_share`` below 1.
    normalized_stain
        Its images have normalized stains (:mod:`segmix_core.slides.stain`): the network
        does not do it, because a tile does not tell the stain of its image.
    freeze
        Keep the backbone as it was loaded: no gradient, always in evaluation mode.
    frozen_norm
        Keep batch normalization as it was loaded, as SEAM does; None: for pretrained
        backbones, whose statistics are better than those of a small batch.

    Attributes
    ----------
    origin
        Where the first weights of the backbone came from, as JSON.
    arguments
        JSON that rebuilds the module, without download or file.

    Raises
    ------
    ConfigError
        If the backbone does not exist, gives no such maps, or its weights do not fit or
        cannot be had.
    """

    mean: Tensor
    std: Tensor

    def __init__(  # noqa: PLR0913 - the arguments of a checkpoint, all by name
        self,
        *,
        num_classes: int,
        backbone: str = "small",
        width: int = 32,
        stride: int | None = None,
        weights: str = SCRATCH,
        pcm: bool = True,
        fusion: bool = False,
        pooled_share: float = 1.0,
        pooled_mean: float = 0.0,
        shared_foreground: bool = False,
        normalized_stain: bool = False,
        freeze: bool = False,
        frozen_norm: bool | None = None,
    ) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"Expected at least one class, got {num_classes}")
        if not 0 < pooled_share <= 1:
            raise ValueError(f"Expected a share above 0, to 1, got {pooled_share}")
        if not 0 <= pooled_mean <= 1:
            raise ValueError(f"Expected a weight from 0 to 1, got {pooled_mean}")
        if shared_foreground and pooled_share == 1:
            raise ValueError(
                "Expected a share below 1 for cells that are probabilities"
            )
        found = find_weights(weights)
        self.backbone = make_backbone(
            backbone, width=width, stride=stride, weights=found
        )
        self.backbone.requires_grad_(not freeze)
        self.origin = _origin(found, backbone)
        low, high = self.backbone.low_channels, self.backbone.high_channels
        self.fusion = TapFusion(low, high) if fusion else None
        features = self.fusion.channels if self.fusion else high
        self.head = nn.Conv2d(features, num_classes + shared_foreground, 1, bias=False)
        nn.init.xavier_uniform_(self.head.weight)
        self.pcm = PixelCorrelation(low, high) if pcm else None
        self.pooled_share = pooled_share
        self.pooled_mean = pooled_mean
        self.shared_foreground = shared_foreground
        self.num_classes = num_classes
        self.normalized_stain = normalized_stain
        self.freeze = freeze
        self.frozen_norm = weights != SCRATCH if frozen_norm is None else frozen_norm
        self.size_multiple = self.backbone.stride
        self.stride = self.backbone.low_stride if fusion else self.backbone.stride
        # A checkpoint brings its own weights: rebuilding needs none.
        self.arguments: dict[str, float | str | bool] = {
            "num_classes": num_classes,
            "backbone": backbone,
            "width": width,
            "stride": self.backbone.stride,
            "pcm": pcm,
            "fusion": fusion,
            "pooled_share": pooled_share,
            "pooled_mean": pooled_mean,
            "shared_foreground": shared_foreground,
            "normalized_stain": normalized_stain,
            "freeze": freeze,
            "frozen_norm": self.frozen_norm,
        }
        for name in ("mean", "std"):
            value = torch.tensor(getattr(self.backbone, name)).view(3, 1, 1)
            self.register_buffer(name, value, persistent=False)

    def train(self, mode: bool = True) -> Self:
        """Switch to training, but for what is frozen."""
        super().train(mode)
        if self.freeze:
            self.backbone.eval()
        elif self.frozen_norm:
            for layer in self.backbone.modules():
                if isinstance(layer, nn.modules.batchnorm._BatchNorm):  # noqa: SLF001
                    layer.eval()
        return self

    def forward(self, images: Tensor) -> ClassifierOutput:
        """Return logits, maps and features of a batch.

        Parameters
        ----------
        images
            (B, 3, H, W), RGB in [0, 1]; H and W at least ``size_multiple``. Sizes that
            are no multiples of it are continued by reflection, right and below.

        Raises
        ------
        ValueError
            For other shapes.
        """
        self._check(images)
        taps = self.backbone(self._prepare(images))
        features = self.fusion(*taps) if self.fusion else taps.high
        scores = self.head(features)
        cam = class_logits(scores) if self.shared_foreground else scores
        return ClassifierOutput(self.pool(cam), cam, scores, taps.low, taps.high)

    def refine(self, seed: Tensor, images: Tensor, output: ClassifierOutput) -> Tensor:
        """Spread a seed along similar pixels (SEAM's pixel correlation module).

        Only the module's projections are trained through the result.

        Parameters
        ----------
        seed
            (B, K, h, w), not negative, on the grid of ``output.cam``; K is free, as in
            :func:`segmix_core.models.cam.make_seed`.
        images
            (B, 3, H, W), as given to :meth:`forward`.
        output
            What :meth:`forward` returned for them.

        Returns
        -------
        Tensor
            (B, K, h, w): every pixel a weighted mean of its channel of the seed.

        Raises
        ------
        ValueError
            If the seed has another size, or the network has no such module.
        """
        if self.pcm is None:
            raise ValueError("Expected a network with a pixel correlation module")
        if seed.shape[-2:] != output.cam.shape[-2:]:
            raise ValueError(
                f"Expected a seed of {tuple(output.cam.shape[-2:])} pixels, "
                f"got {tuple(seed.shape[-2:])}"
            )
        # Correlations are of the last features: a finer seed meets them on their grid.
        height, width = output.high.shape[-2:]
        coarse = F.adaptive_avg_pool2d(seed.detach(), (height, width))
        refined = self.pcm(coarse, self._prepare(images), output.low, output.high)
        return F.interpolate(
            refined, seed.shape[-2:], mode="bilinear", align_corners=False
        )

    def pool(self, cam: Tensor) -> Tensor:
        """Return what raw maps (B, C, h, w) say of their tiles, (B, C) logits."""
        mean = cam.mean(dim=(2, 3))
        if self.pooled_share == 1:
            return mean
        cells = cam.flatten(2)
        count = max(1, round(self.pooled_share * cells.shape[2]))
        strongest = cells.topk(count, dim=2).values.mean(dim=2)
        return torch.lerp(strongest, mean, self.pooled_mean)

    def show(self, cam: Tensor) -> Tensor:
        """Return raw maps (B, C, h, w) as they are shown and compared, >= 0.

        The positive part of a CAM, whose mean alone has a meaning. Where single cells
        answer, each is a logit: its probability, which keeps the order of classes that
        are all unlikely.
        """
        return F.relu(cam) if self.pooled_share == 1 else cam.sigmoid()

    def _prepare(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        right, bottom = -width % self.size_multiple, -height % self.size_multiple
        if right or bottom:
            images = F.pad(images, (0, right, 0, bottom), mode="reflect")
        return (images - self.mean) / self.std

    def _check(self, images: Tensor) -> None:
        if images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(
                f"Expected images of shape (B, 3, H, W), got {tuple(images.shape)}"
            )
        if min(images.shape[-2:]) < self.size_multiple:
            raise ValueError(
                f"Expected images of at least {self.size_multiple} pixels, "
                f"got {tuple(images.shape[-2:])}"
            )


def _origin(weights: InitialWeights, backbone: str) -> dict[str, str]:
    terms = published_license(backbone) if weights.source != SCRATCH else None
    return weights.origin | ({"license": str(terms)} if terms else {})


def load_classifier(checkpoint: Checkpoint) -> CamClassifier:
    """Return the classifier of a checkpoint, ready to predict.

    Raises
    ------
    CheckpointError
        If the weights do not fit.
    """
    # Nothing is downloaded or read because a checkpoint says so.
    return rebuild(CamClassifier, checkpoint, weights=SCRATCH)
