"""How large bodies may be, and where."""

from __future__ import annotations

import pytest

from m2serve.config.postlimits import PostLimits
from m2serve.config.values import PostLimit
from m2serve.errors import ConfigError


def limits(*texts: str) -> PostLimits:
    return PostLimits([PostLimit.parse(text) for text in texts])


@pytest.mark.parametrize(
    ("path", "size"),
    [
        (b"/", 1000),
        (b"/other", 1000),
        (b"/photos", 2048),
        (b"/photos/", 2048),
        (b"/photos/a", 2048),
        (b"/photosx", 1000),
        (b"/photos/raw/1", 5),
        (b"/ph%6ftos", 2048),
        (b"/%70hotos%2Fraw", 5),
        (b"//photos", 1000),
        (b"*", 1000),
        (b"/%zz", 1000),
    ],
)
def test_the_longest_prefix_counts(path: bytes, size: int) -> None:
    assert limits("1000", "/photos=2K", "/photos/raw/=5").of(path) == size


def test_without_a_limit_for_all() -> None:
    assert limits("/photos=1").of(b"/") is None
    assert not limits()
    assert limits().of(b"/") is None


def test_the_last_of_one_prefix_counts() -> None:
    assert limits("1", "/=2").of(b"/") == 2


@pytest.mark.parametrize("text", ["", "x", "/a", "a=1", "/a=", "/a=x", "/a//b=1", "/a?b=1", "-1", "=5"])
def test_what_is_no_limit(text: str) -> None:
    with pytest.raises(ConfigError, match="expected"):
        PostLimit.parse(text)


def test_a_limit_as_it_is_shown() -> None:
    assert [str(PostLimit.parse(text)) for text in ("5", "/=5", "/a/=1K")] == ["5", "5", "/a=1024"]
