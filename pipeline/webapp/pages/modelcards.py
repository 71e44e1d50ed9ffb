"""The models to choose from: what each tells apart, how well, and at which voxel size."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from pipeline.config import MULTILABEL
from pipeline.webapp import catalogue, services
from pipeline.webapp.catalogue import ModelCard
from pipeline.webapp.fitting import Mismatch, Treatment, mismatch
from pipeline.webapp.pages.words import chips, plain, voxel_nm

COLUMNS = 2


@dataclass(frozen=True)
class Choice:
    """A model, what is to be done to the volume before, and whether the volume can be segmented with it then."""

    card: ModelCard
    treatment: Treatment | None
    fits: bool


def choose_model(voxel_size_nm: tuple[float, float, float] | None) -> Choice:
    """Let the user choose; warn where the model was trained at another voxel size, and offer what helps."""
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
    if unlike is None:
        return Choice(chosen, None, fits=voxel_size_nm is not None)
    treatment = _treatment(unlike)
    return Choice(chosen, treatment, fits=treatment is not None)


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
