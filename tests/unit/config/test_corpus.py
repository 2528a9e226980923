"""Files in the manner of real deployments, each with what it means beside it."""

from __future__ import annotations

import re
from collections import defaultdict

import pytest
from support import corpus

from m2serve.config.addresses import SocketAddress
from m2serve.config.table import lookup

_UNKNOWN = re.compile(r"^\S+:\d+: (\S+) = .*: unknown option")
_COMMENT = re.compile(r"(?:^|\s)[;#].*")


def is_about_values(problem: str) -> bool:
    """Not about what is missing on this machine or in this version, nor about a door."""
    elsewhere = "expected an existing" in problem or "not in this version" in problem
    return not elsewhere and not problem.startswith("no ")


def test_there_are_enough() -> None:
    assert len(corpus.NAMES) >= 60
    assert {path.stem for path in corpus.CORPUS.glob("*.json")} == {name[:-4] for name in corpus.NAMES}


@pytest.mark.parametrize("name", corpus.NAMES)
def test_a_file_means_what_stands_beside_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    examined = corpus.read(name, monkeypatch)
    expected = corpus.expected(name)
    unknown = [match[1] for warning in examined.settings.warnings if (match := _UNKNOWN.match(warning))]
    assert corpus.by_key(examined.given) == expected["values"]
    assert unknown == expected["unknown"]
    assert [problem for problem in examined.problems if is_about_values(problem)] == expected["problems"]


@pytest.mark.parametrize("name", corpus.NAMES)
def test_the_settings_are_those_values(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    examined = corpus.read(name, monkeypatch)
    texts = defaultdict(list)
    for key, value in examined.given:
        option = lookup(key)
        if option is not None:
            texts[option].append((key, _COMMENT.sub("", value) if option.kind.comment else value))
    for option, values in texts.items():
        parsed = tuple(option.kind.read(key, value) for key, value in values)
        # Where a relative path of a socket starts is known besides.
        parsed = tuple(one.resolved("/etc/apps") if isinstance(one, SocketAddress) else one for one in parsed)
        setting = getattr(examined.settings, option.field)
        assert str(setting) == str(parsed if option.kind.many else parsed[-1]), option.name
        assert examined.settings.origin(option.field) != "default"
