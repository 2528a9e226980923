"""uWSGI's little calculator inside ``%( )``: operands and operators with blanks between, strictly left to right."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from m2serve.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

_INTEGER = re.compile(r"\s*([+-]?[0-9]+)")
_OPERATORS = frozenset({"+", "-", "*", "/"})
_LARGEST = 2**63
_MAX_DIGITS = 19


def calculate(expression: str, lookup: Callable[[str], str | None]) -> str:
    """The value of ``a + 2``, ``a b`` (put together), ``a ++`` and the like.

    What is neither a number nor defined counts as 0, and as nothing where texts are put together, as in uWSGI.

    Args:
        lookup: the value of a name, None when it is not defined.

    Raises: ConfigError: the result needs more than 64 bits.
    """
    result, operator = "", ""
    for word in expression.split():
        if word in _OPERATORS:
            operator = word
        elif word in ("++", "--"):
            result = str(_checked(leading_number(result) + (1 if word == "++" else -1)))
        else:
            value = lookup(word)
            if value is None:
                value = word if word.isascii() and word.isdigit() else ""
            result = _apply(result, operator, value)
            operator = ""
    return result


def leading_number(text: str) -> int:
    """C's ``atoi``: the number that the text begins with, else 0.

    Raises: ConfigError: it needs more than 64 bits.
    """
    match = _INTEGER.match(text)
    if match is None:
        return 0
    if len(match[1].lstrip("+-0")) > _MAX_DIGITS:
        raise ConfigError("its arithmetic needs more than 64 bits")
    return _checked(int(match[1]))


def _apply(result: str, operator: str, value: str) -> str:
    if not operator:
        return result + value
    left, right = leading_number(result), leading_number(value)
    if operator == "+":
        return str(_checked(left + right))
    if operator == "-":
        return str(_checked(left - right))
    if operator == "*":
        return str(_checked(left * right))
    if right == 0:
        return "0"
    # C rounds towards zero, // downwards.
    quotient = abs(left) // abs(right)
    return str(quotient if (left < 0) == (right < 0) else -quotient)


def _checked(number: int) -> int:
    if not -_LARGEST <= number < _LARGEST:
        raise ConfigError("its arithmetic needs more than 64 bits")
    return number
