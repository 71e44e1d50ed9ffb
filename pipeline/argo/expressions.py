"""The three little languages of a workflow file, parsed and evaluated without `eval`.

* `WHEN`: a task's `when`, after substitution. Argo hands it to govaluate: numbers are floats, a bare word
  is a string, strings and numbers never compare equal.
* `DEPENDS`: a task's `depends`: task names, `name.Result`, `&&`, `||`, `!` and parentheses.
* `EXPR`: `retryStrategy.expression` and `{{=tags}}`, the part of expr-lang that retry rules and pod patches need.

Operators of those languages that are not listed in the tables below are refused by name.
Sources: https://github.com/Knetic/govaluate, https://expr-lang.org/docs/language-definition
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.argo.yamlfile import as_json

Environment = Mapping[str, Any]
Expression = Callable[[Environment], Any]


FINE = "Fine"  # what a bare task name asks for in `depends`: Succeeded, Skipped or Daemoned


class ExpressionError(ValueError):
    """The text is not an expression of its language, or its values do not fit the operators."""


@dataclass(frozen=True)
class Dialect:
    """What tells one language from another: how names look, what they mean, which operators there are."""

    name: str
    name_pattern: str
    binary: Mapping[str, int]  # operator -> how tightly it binds
    prefix: Mapping[str, int]
    words_are_text: bool = False


_ORDER = {"==": 20, "!=": 20, "<": 20, "<=": 20, ">": 20, ">=": 20, "in": 20}
_ARITHMETIC = {"+": 30, "-": 30, "*": 60, "/": 60, "%": 60}
_LOGIC = {"||": 10, "&&": 15}

WHEN = Dialect(
    "when",
    r"[A-Za-z][\w.]*",
    {**_LOGIC, **_ORDER, **_ARITHMETIC, "=~": 20, "!~": 20},
    {"!": 90, "-": 90},
    words_are_text=True,
)
DEPENDS = Dialect("depends", r"[A-Za-z0-9][-A-Za-z0-9]*(?:\.[A-Za-z]+)?", _LOGIC, {"!": 90})
EXPR = Dialect(
    "expression",
    r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*",
    {
        **{**_LOGIC, "or": 10, "and": 15, "|": 0, "?": 5, "??": 100},
        **{**_ORDER, "not in": 20, "matches": 20, "contains": 20, "startsWith": 20, "endsWith": 20},
        **_ARITHMETIC,
    },
    {"!": 50, "not": 50, "-": 90},
)

_SYMBOLS = r"&&|\|\||\||==|!=|<=|>=|=~|!~|\?\?|[-+*/%<>!?:(),\[\]]"


def parse(text: str, dialect: Dialect) -> Expression:
    """Return a function from the environment to the value of `text`; `ExpressionError` if it is no expression."""
    return _Parser(text, dialect).whole()


def names(text: str, dialect: Dialect) -> list[str]:
    """Return the names that `text` reads from its environment, as dotted paths, in order."""
    parser = _Parser(text, dialect)
    parser.whole()
    return parser.names


def evaluate_bool(text: str, dialect: Dialect, environment: Environment) -> bool:
    """Parse and evaluate `text`, which must come out true or false."""
    return _truth(parse(text, dialect)(environment))


class _Parser:
    """Precedence climbing over the tokens of one expression."""

    def __init__(self, text: str, dialect: Dialect) -> None:
        self.text, self.dialect = text, dialect
        self.tokens = self._split()
        self.position = 0
        self.names: list[str] = []

    def _split(self) -> list[tuple[str, str]]:
        pattern = re.compile(
            rf"\s*(?:(?P<string>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"
            rf"|(?P<name>{self.dialect.name_pattern})|(?P<number>\d+(?:\.\d+)?)|(?P<symbol>{_SYMBOLS}))\s*"
        )
        tokens, at = [], 0
        while at < len(self.text):
            match = pattern.match(self.text, at)
            if match is None:
                raise ExpressionError(f"cannot read {self.text[at:].strip()!r} in {self.text!r}")
            assert match.lastgroup is not None
            tokens.append((match.lastgroup, match[match.lastgroup]))
            at = match.end()
        return tokens

    def whole(self) -> Expression:
        expression = self._expression(0)
        if self.position < len(self.tokens):
            raise ExpressionError(f"unexpected {self._peek()[1]!r} in {self.text!r} (put text in quotes)")
        return expression

    def _peek(self, ahead: int = 0) -> tuple[str, str]:
        at = self.position + ahead
        return self.tokens[at] if at < len(self.tokens) else ("end", "")

    def _take(self, expected: str | None = None) -> tuple[str, str]:
        token = self._peek()
        if token[0] == "end" or (expected is not None and token[1] != expected):
            raise ExpressionError(f"{self.text!r}: expected {expected or 'a value'}, found {token[1] or 'its end'!r}")
        self.position += 1
        return token

    def _operator(self) -> str:
        kind, text = self._peek()
        if text == "not" and self._peek(1)[1] == "in":
            return "not in"
        return text if kind in ("symbol", "name") else ""

    def _expression(self, tightest: int) -> Expression:
        left = self._operand()
        while True:
            symbol = self._operator()
            binds = self.dialect.binary.get(symbol)
            if binds is None or binds < tightest:
                return left
            self.position += 2 if symbol == "not in" else 1
            if symbol == "?":
                left = self._conditional(left)
            elif symbol == "|":
                left = self._piped(left)
            else:
                left = _binary(symbol, left, self._expression(binds + 1))

    def _piped(self, first: Expression) -> Expression:
        """`value | function(more)` is `function(value, more)`."""
        name = self._take()[1]
        self._take("(")
        return _call(name, [first, *self._list(")")])

    def _conditional(self, condition: Expression) -> Expression:
        yes = self._expression(0)
        self._take(":")
        no = self._expression(0)
        return lambda env: yes(env) if _truth(condition(env)) else no(env)

    def _operand(self) -> Expression:
        value = self._single()
        while self.dialect is EXPR and self._peek() == ("symbol", "["):
            self._take("[")
            value = _indexed(value, self._list("]"))
        return value

    def _single(self) -> Expression:
        kind, text = self._take()
        if text in self.dialect.prefix and kind != "string":
            inner = self._expression(self.dialect.prefix[text])
            return (lambda env: -_number(inner(env))) if text == "-" else (lambda env: not _truth(inner(env)))
        if kind == "string":
            return _constant(re.sub(r"\\(.)", lambda m: {"n": "\n", "t": "\t"}.get(m[1], m[1]), text[1:-1]))
        if kind == "number":
            return _constant(float(text) if "." in text else int(text))
        if kind == "name":
            return self._name(text)
        if text in ("(", "["):
            return self._group(")" if text == "(" else "]")
        raise ExpressionError(f"unexpected {text!r} in {self.text!r} (put text in quotes)")

    def _name(self, text: str) -> Expression:
        if text in ("true", "false") and self.dialect is not DEPENDS:
            return _constant(text == "true")
        if self.dialect.words_are_text:
            if "." in text:
                raise ExpressionError(f"put quotes around {text!r} in {self.text!r}")
            return _constant(text)
        if text == "nil" and self.dialect is EXPR:
            return _constant(None)
        if self.dialect is EXPR and self._peek()[1] == "(":
            self._take("(")
            return _call(text, self._list(")"))
        if self.dialect is DEPENDS and "." not in text:
            text += "." + FINE
        self.names.append(text)
        return lambda env: _look_up(text, env)

    def _group(self, closing: str) -> Expression:
        items = self._list(closing)
        if closing == ")" and len(items) == 1:
            return items[0]
        return lambda env: [item(env) for item in items]

    def _list(self, closing: str) -> list[Expression]:
        items: list[Expression] = []
        while self._peek()[1] != closing:
            items.append(self._expression(0))
            if self._peek()[1] != closing:
                self._take(",")
        self._take(closing)
        return items


def _constant(value: Any) -> Expression:
    return lambda _env: value


def _look_up(path: str, environment: Environment) -> Any:
    value: Any = environment
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise ExpressionError(f"unknown name {path!r}")
        value = value[part]
    return value


def _indexed(value: Expression, keys: list[Expression]) -> Expression:
    """`list[0]` or `map["key"]`; a key that is absent is nil, as in expr-lang."""
    if len(keys) != 1:
        raise ExpressionError(f"one key belongs in [], not {len(keys)}")

    def look_up(environment: Environment) -> Any:
        holder, key = value(environment), keys[0](environment)
        if isinstance(holder, Mapping):
            return holder.get(key)
        if isinstance(holder, list) and isinstance(key, int) and -len(holder) <= key < len(holder):
            return holder[key]
        raise ExpressionError(f"nothing is known as [{key!r}] of {holder!r}")

    return look_up


def _binary(symbol: str, left: Expression, right: Expression) -> Expression:
    if symbol in ("&&", "and"):
        return lambda env: _truth(left(env)) and _truth(right(env))
    if symbol in ("||", "or"):
        return lambda env: _truth(left(env)) or _truth(right(env))
    if symbol == "??":
        return lambda env: right(env) if (value := left(env)) is None else value
    function = _FUNCTIONS_OF_TWO[symbol]
    return lambda env: function(left(env), right(env))


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ExpressionError(f"expected true or false, found {value!r}")
    return value


def _number(value: Any) -> float | int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ExpressionError(f"expected a number, found {value!r}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ExpressionError(f"expected a text, found {value!r}")
    return value


def _equal(a: Any, b: Any) -> bool:
    """Equality without conversions: a text never equals a number, nor a number a truth value."""
    kinds = [("bool" if isinstance(v, bool) else "number" if isinstance(v, int | float) else type(v)) for v in (a, b)]
    return kinds[0] == kinds[1] and bool(a == b)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def function(a: Any, b: Any) -> bool:
        if isinstance(a, str) and isinstance(b, str):
            return compare(a, b)
        return compare(_number(a), _number(b))

    return function


def _arithmetic(compute: Callable[[Any, Any], float]) -> Callable[[Any, Any], float]:
    def function(a: Any, b: Any) -> float:
        try:
            return compute(_number(a), _number(b))
        except ZeroDivisionError:
            raise ExpressionError(f"{a!r} divided by zero") from None

    return function


def _add(a: Any, b: Any) -> Any:
    return a + b if isinstance(a, str) and isinstance(b, str) else _number(a) + _number(b)


def _contained(item: Any, values: Any) -> bool:
    if not isinstance(values, list):
        raise ExpressionError(f"'in' needs a list on its right, found {values!r}")
    return any(_equal(item, value) for value in values)


def _matches(text: Any, pattern: Any) -> bool:
    try:
        return re.search(_text(pattern), _text(text)) is not None
    except re.error as error:
        raise ExpressionError(f"{pattern!r} is not a regular expression: {error}") from error


_FUNCTIONS_OF_TWO: dict[str, Callable[[Any, Any], Any]] = {
    "==": _equal,
    "!=": lambda a, b: not _equal(a, b),
    "<": _ordered(operator.lt),
    "<=": _ordered(operator.le),
    ">": _ordered(operator.gt),
    ">=": _ordered(operator.ge),
    "in": _contained,
    "not in": lambda a, b: not _contained(a, b),
    "+": _add,
    "-": _arithmetic(operator.sub),
    "*": _arithmetic(operator.mul),
    "/": _arithmetic(operator.truediv),
    "%": _arithmetic(operator.mod),
    "=~": _matches,
    "!~": lambda a, b: not _matches(a, b),
    "matches": _matches,
    "contains": lambda a, b: _text(b) in _text(a),
    "startsWith": lambda a, b: _text(a).startswith(_text(b)),
    "endsWith": lambda a, b: _text(a).endswith(_text(b)),
}

_NAMED: dict[str, tuple[int, Callable[..., Any]]] = {  # how many arguments, and what it does with them
    "asInt": (1, int),
    "int": (1, int),
    "asFloat": (1, float),
    "float": (1, float),
    "string": (1, str),
    "len": (1, len),
    "lower": (1, lambda value: _text(value).lower()),
    "upper": (1, lambda value: _text(value).upper()),
    "trim": (1, lambda value: _text(value).strip()),
    "replace": (3, lambda value, old, new: _text(value).replace(_text(old), _text(new))),
    "split": (2, lambda value, separator: _text(value).split(_text(separator))),
    "toJson": (1, as_json),
}


def _call(name: str, arguments: list[Expression]) -> Expression:
    count, function = _NAMED.get(name, (-1, str))
    if len(arguments) != count:
        known = ", ".join(sorted(_NAMED))
        raise ExpressionError(f"function {name}() with {len(arguments)} arguments is not supported; supported: {known}")

    def call(environment: Environment) -> Any:
        values = [argument(environment) for argument in arguments]
        try:
            return function(*values)
        except (TypeError, ValueError) as error:
            raise ExpressionError(f"{name}({', '.join(map(repr, values))}): {error}") from error

    return call
