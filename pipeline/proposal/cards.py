"""How fast studies are on GPUs that are not here: by a share of the peak that their makers state, not measured."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.errors import InputError
from pipeline.proposal.speed import Rate

REACHED = 0.1
"""Share of the peak that small 3D convolutions reach."""
COMPILING_S = 60.0
"""Of a training's network, on a GPU: about."""


@dataclass(frozen=True)
class Card:
    """A GPU, with what its maker states of dense products, in 10¹² operations a second."""

    name: str
    bfloat16: float
    """Of training, where the card has this type; else of its float32."""
    tf32: float
    """Of predicting, whose float32 is computed so; else of float32."""

    @property
    def rate(self) -> Rate:
        """What networks reach on it, about."""
        return Rate(REACHED * self.bfloat16 * 1e12, REACHED * self.tf32 * 1e12)


CARDS = {
    card.name.lower().replace(" ", ""): card
    for card in (
        Card("T4", 8.1, 8.1),
        Card("V100", 15.7, 15.7),
        Card("RTX 2080 Ti", 13.4, 13.4),
        Card("RTX 3090", 71, 35.6),
        Card("RTX 4090", 165, 82.6),
        Card("RTX A6000", 155, 77.4),
        Card("RTX 6000 Ada", 364, 182),
        Card("A10", 125, 62.5),
        Card("A40", 150, 74.8),
        Card("A100", 312, 156),
        Card("L4", 121, 60),
        Card("L40", 181, 90.5),
        Card("L40S", 362, 183),
        Card("H100", 989, 494),
        Card("H200", 989, 494),
    )
}
"""By what one types. From the makers' data sheets: where these give sparse products, half of them."""


def card(kind: str) -> Card:
    """The card of a name, or of a product label of a cluster such as NVIDIA-A100-SXM4-80GB.

    Raises:
        InputError: it is not in the table.
    """
    words = [word for word in re.split(r"[^a-z0-9]+", kind.lower()) if word]
    joined = {"".join(words[start:stop]) for start in range(len(words)) for stop in range(start + 1, len(words) + 1)}
    found = max(joined & CARDS.keys(), key=len, default=None)
    if found is None:
        raise InputError(f"--gpu {kind}: there are {', '.join(CARDS)}; of another, take one of about the same peak")
    return CARDS[found]
