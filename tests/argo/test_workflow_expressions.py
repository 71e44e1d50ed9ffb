"""The three small languages agree with the examples of their manuals, and with Python on random input."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.argo.expressions import DEPENDS, EXPR, WHEN, ExpressionError, evaluate_bool, names, parse


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a == a", True),
        ("'a b' == \"a b\"", True),
        ("1 == 1.0", True),
        ("'1' == 1", False),
        ("a != b && 2 > 1", True),
        ("a == b || !(1 > 2)", True),
        ("2 + 3 * 4 == 14", True),
        ("abc =~ '^a.c$'", True),
        ("abc !~ b", False),
        ("b in (a, b)", True),
        ("true", True),
        ("'it\\'s' == \"it's\"", True),
    ],
)
def test_when(text: str, value: bool) -> None:
    assert evaluate_bool(text, WHEN, {}) is value


@pytest.mark.parametrize(
    "text", ["", "a ==", "a b", "foo-bar == x", "1.2.3 == a", "a", "'a' < 1", "x in (y)", "a ? b : c"]
)
def test_when_refuses(text: str) -> None:
    with pytest.raises(ExpressionError):
        evaluate_bool(text, WHEN, {})


LAST = {"exitCode": "75", "status": "Failed", "message": "pod deleted", "duration": "3.5"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("asInt(lastRetry.exitCode) == 75", True),
        ("asInt(lastRetry.exitCode) not in [1, 2]", True),
        ("lastRetry.status == 'Error' || lastRetry.message matches '^pod'", True),
        ("asFloat(lastRetry.duration) > 3 and not (lastRetry.status == 'Error')", True),
        ("lastRetry.message contains 'gone'", False),
        ("lastRetry.message startsWith 'pod' && lastRetry.message endsWith 'deleted'", True),
        ("lastRetry.exitCode == 75", False),
        ("(lastRetry.status == 'Failed' ? 1 : 2) == 1", True),
        ("asInt(retries) < 3", True),
        ("lastRetry['exitCode'] == '75' && ['a', 'b'][1] == 'b'", True),
        ("toJson(split('a,b', ',')) == '[\"a\",\"b\"]'", True),
    ],
)
def test_retry_expression(text: str, value: bool) -> None:
    assert evaluate_bool(text, EXPR, {"lastRetry": LAST, "retries": "0"}) is value


@pytest.mark.parametrize("text", ["now()", "lastRetry.none == 1", "asInt('x') == 1", "1", "lastRetry.exitCode > 1"])
def test_retry_expression_refuses(text: str) -> None:
    with pytest.raises(ExpressionError):
        evaluate_bool(text, EXPR, {"lastRetry": LAST})


def test_names_of_depends() -> None:
    assert names("(a-1.Failed || b2) && !c.Succeeded", DEPENDS) == ["a-1.Failed", "b2.Fine", "c.Succeeded"]


_terms = st.sampled_from(["a.X", "b.X", "c.X"])
_logic = st.recursive(
    _terms,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(" ".join),
        inner.map(lambda text: f"({text})"),
        inner.map(lambda text: f"!({text})"),
    ),
    max_leaves=8,
)


@given(_logic)
def test_logic_is_pythons(text: str) -> None:
    as_python = text.replace("&&", " and ").replace("||", " or ").replace("!", " not ").replace(".X", "")
    expression = parse(text, DEPENDS)
    for values in itertools.product([True, False], repeat=3):
        known = dict(zip("abc", values, strict=True))
        expected = eval(as_python, {}, known)
        assert expression({name: {"X": value} for name, value in known.items()}) is expected


_numbers = st.integers(0, 20).map(str)
_sums = st.recursive(
    _numbers,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*"]), inner).map(" ".join), inner.map(lambda text: f"({text})")
    ),
    max_leaves=8,
)


@given(_sums, _sums, st.sampled_from(["<", "<=", "==", "!=", ">", ">="]))
def test_arithmetic_is_pythons(left: str, right: str, compare: str) -> None:
    text = f"{left} {compare} {right}"
    for dialect in (WHEN, EXPR):
        assert evaluate_bool(text, dialect, {}) is eval(text)
