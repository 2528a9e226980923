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


def compare(name: str, told: list[str]) -> None:
    assert len(told) == len(EXPECTED[name]), told
    for expected in EXPECTED[name]:
        assert any(line.startswith(expected) for line in told), told


@pytest.fixture(autouse=True)
def _in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(BROKEN)
    monkeypatch.setattr("m2serve.cli.Server", must_not_start)
    monkeypatch.delenv("NUMBER_OF_WORKERS", raising=False)


@pytest.mark.parametrize("name", EXPECTED)
def test_each_mistake_has_its_place(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name]) == 1
    told = [line.removeprefix("m2serve: ") for line in capsys.readouterr().err.splitlines()]
    assert told.pop().startswith("nothing was started")
    compare(name, [line for line in told if not line.endswith("(warning)")])


@pytest.mark.parametrize("name", EXPECTED)
def test_check_tells_the_same(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check", name]) == 1
    report, err = capsys.readouterr()
    assert err == ""
    _, *told = report[report.index("; mistakes:") :].split("\n")
    assert told[-3:] == ["", "; m2serve would not start", ""]
    compare(name, [line.removeprefix(";   ") for line in told[:-3]])


def test_show_config_tells_them_apart_from_the_ini(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check", "--show-config", "threads-hex.ini"]) == 1
    out, err = capsys.readouterr()
    assert out.startswith("[m2serve]\nmodule = shop\n")
    assert "threads-hex.ini:4: threads = 0x10: expected a whole number" in err
