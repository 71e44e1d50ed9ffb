"""The models to choose from: what each tells apart, how well, and at which voxel size."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from pipeline.config.model import MULTILABEL
from pipeline.volume.geometry import ZyxNm
from pipeline.volume.greyvalues import GreyValues, compare
from pipeline.volume.treatments import Treatment as GreyTreatment
from pipeline.webapp import catalogue, services
from pipeline.webapp.catalogue import Mismatch, ModelCard, Treatment, mismatch
from pipeline.webapp.pages.shared import chips, plain, voxel_nm

COLUMNS = 2


@dataclass(frozen=True)
class Choice:
    """A model, what is to be done to the volume before, and whether the volume can be segmented with it then.

    intensity: what is done to grey values; None where they are near those that the model learnt from.
    """

    card: ModelCard
    treatment: Treatment | None
    intensity: GreyTreatment | None
    fits: bool


def choose_model(voxel_size_nm: ZyxNm | None, grey_values: GreyValues | None) -> Choice:
    """Let the user choose; warn where the model knows another voxel size or other grey values, and offer what helps."""
    cards = catalogue.models(services.current().settings.models)
    chosen = next((card for card in cards if card.url == st.session_state.get("model")), cards[0])
    whole = [card for card in cards if card.target == MULTILABEL]
    single = [card for card in cards if card.target != MULTILABEL]
    _grid(whole, chosen)
    if single and whole:
        with st.expander(f"Models of one class each ({len(single)})", expanded=chosen in single):
            _grid(single, chosen)
    else:
        _grid(single, chosen)
    unlike = mismatch(voxel_size_nm, chosen) if voxel_size_nm else None
    intensity = _intensity(chosen, grey_values)
    if unlike is None:
        return Choice(chosen, None, intensity, fits=voxel_size_nm is not None)
    treatment = _treatment(unlike)
    return Choice(chosen, treatment, intensity, fits=treatment is not None)


def _intensity(card: ModelCard, grey_values: GreyValues | None) -> GreyTreatment | None:
    """Ask what to do about grey values that the model does not know."""
    if card.grey_values is None or grey_values is None:
        return None
    unlike = compare(grey_values, card.grey_values)
    if not unlike.is_far:
        return None
    st.warning(
        f"The grey values are far from those that the model learnt from: {plain(unlike.text)}",
        icon=":material/contrast:",
    )
    return st.radio(
        "What to do about the grey values",
        ("match", "percentile", "as_trained"),
        format_func={
            "match": "Match them to the training's",
            "percentile": "Stretch them to the training's range",
            "as_trained": "Leave them as they are",
        }.__getitem__,
        captions=[
            "Their quantiles are laid on the training's; inverted contrast is turned round.",
            "Their darkest and brightest half percent become the training's; inverted contrast stays.",
            "They are right, for reasons that their numbers do not show.",
        ],
    )


def _grid(cards: list[ModelCard], chosen: ModelCard) -> None:
    columns = st.columns(min(COLUMNS, max(1, len(cards))))
    for number, card in enumerate(cards):
        with columns[number % len(columns)]:
            _card(card, is_chosen=card == chosen)


def _card(card: ModelCard, *, is_chosen: bool) -> None:
    with st.container(border=True):
        st.markdown(f"**{plain(card.name)}**")
        st.html(chips([(each.name, each.color) for each in card.classes]))
        facts = [f"trained at {voxel_nm(card.voxel_size_nm)}"]
        if card.macro_f1 is not None:
            facts.insert(
                0, f"F1 {card.macro_f1:.2f}" + (f", weighted {card.weighted_f1:.2f}" if card.weighted_f1 else "")
            )
        st.caption("; ".join(facts))
        st.button(
            "Chosen" if is_chosen else "Use this model",
            key=f"model {card.url}",
            icon=":material/check:" if is_chosen else None,
            type="secondary",
            disabled=is_chosen,
            on_click=_choose,
            args=(card.url,),
        )


def _choose(url: str) -> None:
    st.session_state["model"] = url


def _treatment(unlike: Mismatch) -> Treatment | None:
    st.warning(unlike.text, icon=":material/straighten:")
    if not unlike.treatments:
        return None
    return st.radio(
        "What to do about it",
        unlike.treatments,
        format_func=lambda each: each.label,
        captions=[each.explanation for each in unlike.treatments],
    )
