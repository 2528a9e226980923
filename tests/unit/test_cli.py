"""The command up to the moment a server would start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from m2serve import __version__
from m2serve.cli import main
from m2serve.config.describe.help import help_text
from m2serve.errors import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

ENOUGH = ["--module", "shop", "--zmq", "ipc:///a,ipc:///b"]


@pytest.mark.parametrize(("argument", "expected"), [("--help", help_text()), ("--version", f"m2serve {__version__}\n")])
def test_questions_are_answered_whatever_else_is_wrong(
    argument: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--nonsense", argument]) == ExitCode.OK
    assert capsys.readouterr() == (expected, "")


def test_mistakes_are_listed_and_nothing_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app.ini").write_text("[uwsgi]\nmodule = shop\nprocesses = many\nproces = 2\n")
    assert main(["app.ini", "--frobnicate"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "m2serve: command line: --frobnicate: unknown option",
        "m2serve: app.ini:3: processes = many: expected a whole number, 1 or more",
        "m2serve: no Mongrel2 and no socket: expected http, socket, zeromq, mongrel2-config or with-mongrel2",
        "m2serve: app.ini:4: proces = 2: unknown option; did you mean processes? (warning)",
        "m2serve: nothing was started; m2serve --help lists the options",
    ]


def test_a_log_that_cannot_be_opened_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ENOUGH, "--logto", "/no/such/directory/log"]) == 1
    assert (
        "command line: logto: '/no/such/directory/log' cannot be opened for writing: No such file"
        in capsys.readouterr().err
    )
