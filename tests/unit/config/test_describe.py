"""The manuals made from the table: they are up to date, and agree about what there is."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from m2serve.config.describe.completion import completion
from m2serve.config.describe.help import help_text
from m2serve.config.describe.man import man
from m2serve.config.describe.markdown import markdown
from m2serve.config.table import FOREIGN, OPTIONS
from m2serve.config.words import GRAMMAR
from m2serve.errors import ExitCode

DOCS = Path(__file__).parents[3] / "docs"

NAMES = {name for option in OPTIONS for name in (option.name, *option.aliases)}
SHELL = {name for name, word in GRAMMAR.items() if word.shell}
FILES = set(GRAMMAR) - SHELL
OTHERS = {name for row in FOREIGN for name in row.names}
PLAIN_OTHERS = {name for row in FOREIGN if not row.family for name in row.names}
QUESTIONS = {"help", "version"}


@pytest.mark.parametrize(
    ("name", "text"), [("options.md", markdown()), ("m2serve.1", man()), ("m2serve.bash", completion())]
)
def test_the_pages_are_up_to_date(name: str, text: str) -> None:
    assert (DOCS / name).read_text() == text, f"docs/{name} is stale: python -m m2serve.config.describe write"


def test_help_names_every_option_and_fits_a_terminal() -> None:
    text = help_text()
    assert set(re.findall(r"--([a-z0-9_-]+)", text)) == NAMES | SHELL | QUESTIONS
    assert set(re.findall(r"^  ([a-z][a-z-]+)(?: =|  |$)", text, re.MULTILINE)) == FILES
    assert all(f"-{letter}, --{option.name}" in text for option in OPTIONS for letter in option.short)
    assert max(map(len, text.splitlines())) < 80


def test_the_page_names_every_option() -> None:
    rows = [line.split(" | ")[0] for line in markdown().splitlines() if line.startswith("| `")]
    named = set(re.findall(r"`([a-z0-9_-]{2,})…?`", " ".join(rows)))
    named = {name for name in named if not re.fullmatch("-.", name)}
    assert named == NAMES | set(GRAMMAR) | OTHERS


def test_the_manual_page_names_every_option() -> None:
    text = man().replace("\\-", "-")
    heads = [after for before, after in zip(text.splitlines(), text.splitlines()[1:], strict=False) if before == ".TP"]
    dashed = {name for head in heads for name in re.findall(r"\\fB--([a-z0-9_-]+)\\fR", head)}
    plain = {name for head in heads for name in re.findall(r"\\fB([a-z][a-z0-9_-]+)(?:\.\.\.)?\\fR", head)}
    assert dashed == NAMES | SHELL | QUESTIONS
    assert plain == FILES | OTHERS
    codes = {ExitCode(int(code)) for head in heads for code in re.findall(r"^\\fB(\d+)\\fR$", head)}
    assert codes == set(ExitCode) - {ExitCode.MASTER_LOST, ExitCode.TAKES_OVER}


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_the_manual_page_can_be_set() -> None:
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww"], input=man(), capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stderr == ""
    assert "NAME" in done.stdout


def complete(*words: str) -> list[str]:
    """What bash would propose for the last word."""
    script = f'{completion()}\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _m2serve; printf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run(
        ["bash", "-c", script, "bash", "m2serve", *words], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_completion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("app.ini", "app.txt"):
        (tmp_path / name).touch()
    (tmp_path / "conf").mkdir()
    assert {flag.removeprefix("--") for flag in complete("--")} == NAMES | SHELL | QUESTIONS | PLAIN_OTHERS
    assert complete("--queue-l") == ["--queue-limit"]
    assert complete("--log-level", "") == ["debug", "info", "warning", "error"]
    assert sorted(complete("")) == ["app.ini", "conf"]
    assert complete("--chdir", "") == ["conf"]
    assert "app.txt" in complete("--logto", "")
    assert complete("--threads", "") == []
