"""Files with mistakes: each is told with its place, all of them at once, and nothing is started."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from m2serve.cli import main

BROKEN = Path(__file__).parents[2] / "corpus" / "broken"
EXPECTED: dict[str, list[str]] = json.loads((BROKEN / "expected.json").read_text())
"""For each file how the lines about it begin."""


def must_not_start(*arguments: object) -> None:
    raise AssertionError("a server was started")


def test_there_are_enough() -> None:
    assert len(EXPECTED) >= 50
    names = {path.name for path in BROKEN.iterdir() if path.is_file() and path.name != "expected.json"}
    assert names == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("check", [(), ("--check",)], ids=["start", "check"])
def test_each_mistake_has_its_place(
    name: str, check: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(BROKEN)
    monkeypatch.setattr("m2serve.cli.Server", must_not_start)
    monkeypatch.delenv("NUMBER_OF_WORKERS", raising=False)
    assert main([*check, name]) == 1
    told = [line.removeprefix("m2serve: ") for line in capsys.readouterr().err.splitlines()]
    assert told.pop().startswith("nothing was started")
    mistakes = sorted(line for line in told if not line.endswith("(warning)"))
    assert len(mistakes) == len(EXPECTED[name]), mistakes
    for expected in EXPECTED[name]:
        assert any(line.startswith(expected) for line in mistakes), mistakes
