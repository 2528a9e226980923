"""Lists of names and values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2serve.config import keyval
from m2serve.errors import ConfigError

NAMES = {"a": "a", "b": "b", "bee": "b"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        ("a=1", {"a": "1"}),
        ("a=1,b=x y", {"a": "1", "b": "x y"}),
        (" a = 1 , bee = 2 ", {"a": "1", "b": "2"}),
        ("a=1,,b=2,", {"a": "1", "b": "2"}),
        ("a=x=y", {"a": "x=y"}),
        ("a", {"a": "1"}),
        ('a="x,y",b=2', {"a": "x,y", "b": "2"}),
        (r"a=x\,y,b=\d", {"a": "x,y", "b": r"\d"}),
        (r"a=\"x\\", {"a": '"x\\'}),
        ("a=1\\", {"a": "1\\"}),
    ],
)
def test_what_is_read(text: str, found: dict[str, str]) -> None:
    assert keyval.parse(text, NAMES) == found


def test_what_is_not() -> None:
    with pytest.raises(ConfigError, match="'c': expected NAME=VALUE with one of a, b"):
        keyval.parse("a=1,c=2", NAMES)
    with pytest.raises(ConfigError, match='expected a second "'):
        keyval.parse('a="1', NAMES)


@given(st.text())
def test_anything_is_a_list_or_a_mistake(text: str) -> None:
    try:
        keyval.parse(text, NAMES)
    except ConfigError as error:
        assert str(error)


def test_numbers() -> None:
    assert keyval.number({"a": "12"}, "a", 3) == 12
    assert keyval.number({}, "a", 3) == 3
    for text in ("", "-1", "x", "1234567890"):
        with pytest.raises(ConfigError, match="expected a whole number"):
            keyval.number({"a": text}, "a", 3)
