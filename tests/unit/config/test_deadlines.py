"""How long requests may run, and where."""

from __future__ import annotations

import pytest

from m2serve.config.deadlines import Deadlines
from m2serve.config.option import kind_of
from m2serve.config.values import Deadline
from m2serve.errors import ConfigError


def deadlines(*texts: str) -> Deadlines:
    return Deadlines([Deadline.parse(text) for text in texts])


@pytest.mark.parametrize(
    ("uri", "seconds"),
    [
        (b"/", 30),
        (b"/reports", 120),
        (b"/reports/2026?all=/uploads", 120),
        (b"/reportsx", 30),
        (b"/uploads/7", 0),
        (b"/?next=/reports", 30),
        (b"/re%70orts", 120),
    ],
)
def test_the_longest_prefix_counts(uri: bytes, seconds: float) -> None:
    assert deadlines("30", "/reports=2m", "/uploads=0").of_uri(uri) == seconds


def test_the_shortest_is_known() -> None:
    assert deadlines("30", "/a=500ms", "/b=0").least == 0.5
    assert deadlines("1", "30").least == 30, "the last of one prefix counts"


@pytest.mark.parametrize("texts", [(), ("0",), ("0", "/a=0")])
def test_without_any(texts: tuple[str, ...]) -> None:
    assert not deadlines(*texts)
    assert deadlines(*texts).of_uri(b"/a") == 0


@pytest.mark.parametrize("text", ["", "x", "/a", "a=1", "/a=", "/a=x", "-1"])
def test_what_is_no_deadline(text: str) -> None:
    with pytest.raises(ConfigError, match="expected"):
        Deadline.parse(text)


def test_as_it_is_shown_and_written() -> None:
    assert [str(Deadline.parse(text)) for text in ("30", "/=5", "/a/=2m")] == ["30", "5", "/a=120"]
    assert kind_of(tuple[Deadline, ...]).comment, "uWSGI takes `harakiri = 30 # s`, too"
