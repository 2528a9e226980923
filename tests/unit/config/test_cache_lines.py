"""``cache2``, ``cache``: what they say, and what is wrong with it."""

from __future__ import annotations

import pytest

from m2serve.config.caches import CacheLine, caches
from m2serve.config.settings import load
from m2serve.errors import ConfigError

DOOR = ("--module", "x", "--http-socket", "127.0.0.1:0")


def test_all_that_can_be_said() -> None:
    text = "name=c,items=10,blocks=20,blocksize=100,keysize=64,hashsize=7,expires=5,bitmap=1,purge_lru=1"
    line = CacheLine.parse(text + ",ignore_full=1,clear_on_full=1,math_initial=3")
    assert line[:7] == ("c", 10, 20, 100, 64, 7, 5)
    assert (line.bitmap, line.purge_lru, line.ignore_full, line.clear_on_full) == (True, True, True, True)
    assert line.math_initial == 3
    assert str(line) == line.text


def test_what_uwsgi_takes_where_nothing_is_said() -> None:
    line = CacheLine.parse("name=c,maxitems=10")
    assert line[:7] == ("c", 10, 10, 65536, 2048, 65536, 0)
    assert not (line.bitmap or line.purge_lru or line.ignore_full or line.clear_on_full)
    assert CacheLine.parse("100")[:2] == ("default", 100)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("items=10", "expected name=NAME,items=N"),
        ("name=c", "expected name=NAME,items=N"),
        ("name=c,items=0", "expected name=NAME,items=N"),
        ("name=c,items=ten", "items=ten: expected a whole number"),
        ("name=c,items=10,blocks=5", "blocks=5: expected no fewer than items, 10"),
        ("name=c,items=10,blocksize=0", "blocksize=0: expected 1 or more"),
        ("name=c,items=10,hashsize=0", "hashsize=0: expected 1 or more"),
        ("name=c,items=10,colour=red", "'colour': expected NAME=VALUE with one of"),
        ("name=c,items=99999999,blocksize=99999999", "no more than 1 TiB"),
        ("", "expected name=NAME,items=N"),
    ],
)
def test_mistakes(text: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        CacheLine.parse(text)


def test_the_old_option_comes_first() -> None:
    settings = load([*DOOR, "--cache2", "name=c,items=3", "--cache", "7", "--cache-blocksize", "100"], {})
    assert [line[:4] for line in caches(settings)] == [("default", 7, 7, 100), ("c", 3, 3, 65536)]
    assert caches(load(DOOR, {})) == ()


def test_two_of_a_name() -> None:
    with pytest.raises(ConfigError, match="'default': expected one cache of that name"):
        load([*DOOR, "--cache2", "name=default,items=3", "--cache", "7"], {})


def test_what_is_asked_for_in_vain() -> None:
    settings = load([*DOOR, "--cache2", "name=c,items=3,store=/tmp/c,lastmod=1"], {})
    assert any("c: store: a cache is in the memory of one server" in one for one in settings.warnings)
