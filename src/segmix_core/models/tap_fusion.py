"""Maps from two feature maps instead of the last alone."""

from torch import Tensor, nn
from torch.nn import functional as F


class TapFusion(nn.Module):
    """Adds what the late features know to the finer grid of the early ones.

    One level of a feature pyramid (Lin et al., FPN, arXiv 1612.03144, fig. 3): both
    taps are brought to the same channels, the late one is resized to the early one's
    grid, and a convolution smooths their sum.

    Parameters
    ----------
    low_channels, high_channels
        Channels of the taps.
    channels
        Channels of the result.
    """

    def __init__(
        self, low_channels: int, high_channels: int, channels: int = 64
    ) -> None:
        super().__init__()
        self.channels = channels
        self.low = nn.Conv2d(low_channels, channels, 1, bias=False)
        self.high = nn.Conv2d(high_channels, channels, 1, bias=False)
        self.join = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(inplace=True))
        self.smooth = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """Return (B, channels, h, w) on the grid of ``low``.

        Parameters
        ----------
        low, high
            (B, low_channels, h, w) and (B, high_channels, h2, w2) of the same images.
        """
        late = F.interpolate(
            self.high(high), low.shape[-2:], mode="bilinear", align_corners=False
        )
        fused: Tensor = self.smooth(self.join(late + self.low(low)))
        return fused
