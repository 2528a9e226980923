"""Conditions of ``route-if``."""

from __future__ import annotations

import ipaddress
import os
import re
from typing import TYPE_CHECKING, TypeAlias

from m2serve.config.static_values import Pattern
from m2serve.gateways.routing.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable

    from m2serve.config.routes import Rule
    from m2serve.gateways.routing.call import Call
    from m2serve.gateways.routing.text import Groups

Test: TypeAlias = "Callable[[Call], Groups | None]"
"""What was found; None: the rule is not for this request."""


def test_of(rule: Rule) -> Test:
    """The function of one rule."""
    if rule.pattern is not None:
        return _pattern(rule.subject, rule.pattern.regexp)
    if not rule.condition:
        return lambda call: ()
    if rule.condition == "regexp":
        return _regexp(Text(rule.operands[0]), Pattern.parse(rule.operands[1]).regexp, negated=rule.negated)
    holds, texts, negated = _HOLDS[rule.condition], [Text(one) for one in rule.operands], rule.negated

    def test(call: Call) -> Groups | None:
        return () if holds(*[text.of(call, ()) for text in texts]) is not negated else None

    return test


def _pattern(subject: str, regexp: re.Pattern[str]) -> Test:
    def test(call: Call) -> Groups | None:
        match = regexp.search(call.variable(subject))
        return None if match is None else (match[0], *match.groups())

    return test


def _regexp(text: Text, regexp: re.Pattern[str], *, negated: bool) -> Test:
    def test(call: Call) -> Groups | None:
        match = regexp.search(text.of(call, ()))
        if negated:
            return () if match is None else None
        return None if match is None else (match[0], *match.groups())

    return test


def _number(text: str) -> int:
    """As C has it: digits at the beginning count, else it is 0."""
    match = re.match(r"\s*[+-]?[0-9]{1,18}", text)
    return int(match[0]) if match is not None else 0


def _within(address: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _file(look: Callable[[str], bool]) -> Callable[[str], bool]:
    def holds(path: str) -> bool:
        try:
            return look(path)
        except ValueError:
            return False  # a NUL in it

    return holds


_HOLDS: dict[str, Callable[..., bool]] = {
    "exists": _file(os.path.lexists),
    "isfile": _file(os.path.isfile),
    "isdir": _file(os.path.isdir),
    "islink": _file(os.path.islink),
    "isexec": _file(lambda path: os.access(path, os.X_OK)),
    "empty": lambda text: not text,
    "equal": lambda one, other: one == other,
    "startswith": lambda text, begin: text.startswith(begin),
    "endswith": lambda text, end: text.endswith(end),
    "contains": lambda text, part: part in text,
    "ishigher": lambda one, other: _number(one) > _number(other),
    "ishigherequal": lambda one, other: _number(one) >= _number(other),
    "islower": lambda one, other: _number(one) < _number(other),
    "islowerequal": lambda one, other: _number(one) <= _number(other),
    "ipv4in": _within,
    "ipv6in": _within,
}
