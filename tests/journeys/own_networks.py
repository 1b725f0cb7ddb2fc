"""Networks of a scientist's own."""

import math

from torch import Tensor, nn


class Copy(nn.Module):
    """Layer for layer what ``small-cnn-3d`` is."""

    def __init__(self, channels: int, embedding: int, widths: list[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = channels
        for after in widths:
            layers += [
                nn.Conv3d(before, after, 3, stride=2, padding=1, bias=False),
                nn.GroupNorm(math.gcd(8, after), after),
                nn.ReLU(inplace=True),
            ]
            before = after
        layers += [nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(before, embedding)]
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        units: Tensor = self.layers(images)
        return units


class Fails(Copy):
    def forward(self, images: Tensor) -> Tensor:
        message = f"patient sums to {images.sum()}"
        raise ValueError(message)
