"""What can be done to grey values before a network sees them; light, since the command line needs it."""

from typing import Literal, get_args

Treatment = Literal["as_trained", "match", "percentile"]
TREATMENTS: tuple[Treatment, ...] = get_args(Treatment)
CURES = (
    "match (their quantiles are laid on the training's; inverted contrast is turned round), percentile (stretched "
    "between their outermost half percents), or as_trained (as they are: they are right)"
)
