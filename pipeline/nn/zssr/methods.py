"""The ways to boost. Another one is one more entry of `METHODS`, and nothing else.

The configuration, the command line, the steps, the application and the workflows know the methods from here. Nothing is
imported until an upscaler is made, since all of them read this.
"""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, cast

if TYPE_CHECKING:
    from pipeline.nn.zssr.grids import Scaling
    from pipeline.nn.zssr.resampling import Interpolation
    from pipeline.nn.zssr.upscalers import Upscaler


@dataclass(frozen=True)
class Method(ABC):
    """A way to boost.

    Args:
        name: in configurations, file names and tables: small letters, digits and '_'.
        title: what the application calls it; without one it does not offer it.
        description: what the application says of it, going on from "x and y become 2 times finer, ".
    """

    name: str
    title: str = ""
    description: str = ""

    learns: ClassVar[bool] = False
    """Whether it works by networks that the step ``boost train`` teaches from the coarse slices."""

    def upscaler(self, scaling: Scaling) -> Upscaler:
        """What boosts by this factor; not asked of a method that learns."""
        raise NotImplementedError


class Interpolating(Method):
    """Interpolation of the kind that the name says."""

    def upscaler(self, scaling: Scaling) -> Upscaler:
        """See `Method`."""
        from pipeline.nn.zssr.resampling import Upsampling

        return Upsampling(scaling, cast("Interpolation", self.name))


class Learning(Method):
    """Zero-shot super-resolution: see `pipeline.nn.zssr.superresolution`."""

    learns = True


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Interpolating("bilinear"),
        Interpolating("bicubic", "Interpolate", "by smooth interpolation. Takes seconds and invents nothing."),
        Learning(
            "zssr",
            "Super-resolution",
            "by a network that first learns from your own slices. Takes minutes; sharper, but noise may be sharpened "
            "too.",
        ),
    )
}


def learning(methods: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the methods that learn."""
    return tuple(method for method in methods if METHODS[method].learns)
