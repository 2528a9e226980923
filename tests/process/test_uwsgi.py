"""The same files, read by uWSGI itself.

uWSGI acts upon what it reads: it would bind sockets, change users, write and remove files. So it gets copies in which
the options have other names: unknown keys are only kept, and ``--show-config`` prints them as they were understood.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from support import corpus

from m2serve.config.outside import Outside
from m2serve.config.settings import examine
from m2serve.config.table import metavar
from m2serve.config.words import CLOSERS, CONDITIONS, OLD_CONDITIONS

if TYPE_CHECKING:
    from pathlib import Path

UWSGI = shutil.which("uwsgi-core")

pytestmark = pytest.mark.skipif(UWSGI is None, reason="uWSGI is not installed (Debian: uwsgi-core)")

PREFIX = "x-"
_ACTING = frozenset(
    {"ini", "include", "inherit", "yaml", "json", "set", "set-placeholder", "set-ph", "show-config", "no-server"}
)
_BLOCK = re.compile(r"if-?[a-z-]+|for(-[a-z]+)?|end(-?[a-z]+)?")
_LISTING = re.compile(r";uWSGI instance configuration\n\[uwsgi\]\n(.*?)\n;end of configuration", re.DOTALL)

FILES = [name for name in corpus.NAMES if name != "m2serve-own.ini"]

DIFFERENCES = {
    # uWSGI replaces a name by what is known of it so far; a value that refers to a later name stays half done.
    ("placeholders-chain.ini", "a"): ("%(x-c)/b", "/srv/app/b"),
    ("placeholders-chain.ini", "chdir"): ("%(x-c)/b", "/srv/app/b"),
    # The blank in "set-placeholder = venv_dir = ..." is part of the name there, so that nothing finds it.
    ("placeholders-set.ini", "venv_dir "): (" %(x-app_dir)/%(x-app)/venv", None),
    ("placeholders-set.ini", "venv_dir"): (None, "/srv/apps/inventory/venv"),
    ("placeholders-set.ini", "virtualenv"): ("%(x-venv_dir)", "/srv/apps/inventory/venv"),
    # true of JSON is 1 there; both are true for every flag.
    ("include-json-yaml.ini", "vacuum"): ("1", "true"),
    # The values of an inherited file are not looked into there.
    ("vassal-inherit.ini", "env"): ("INHERITED=%(x-base)", "INHERITED=/srv"),
}
"""By file and key what uWSGI and what m2serve make of it; None: the key is not there."""


def is_grammar(key: str) -> bool:
    return key in _ACTING or _BLOCK.fullmatch(key) is not None


def renamed(text: str) -> str:
    """An ini file with a prefix before the name of each option, in its own line and where it is referred to."""
    lines = []
    for line in text.split("\n"):
        if line.strip(" \t\r")[:1] in ("", ";", "#", "["):
            lines.append(line)
            continue
        key, equals, value = (part.strip(" \t") for part in line.partition("="))
        value = re.sub(r"%\(([^()]*)\)", _renamed_reference, value)
        if key.startswith("set") or key in ("if-opt", "if-not-opt"):
            value = PREFIX + value
        lines.append(f"{key if is_grammar(key) else PREFIX + key}{equals}{value}")
    return "\n".join(lines)


def _renamed_reference(match: re.Match[str]) -> str:
    words = (PREFIX + word if word[:1].isalpha() else word for word in match[1].split(" "))
    return f"%({' '.join(words)})"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus with other names."""
    copy = tmp_path_factory.mktemp("corpus") / "ini"
    shutil.copytree(corpus.CORPUS, copy)
    for path in copy.rglob("*.ini"):
        path.write_text(renamed(path.read_text()))
    json, yaml = copy / "parts" / "more.json", copy / "parts" / "more.yaml"
    json.write_text(re.sub(r'"(\w+)": (?=[^{])', rf'"{PREFIX}\1": ', json.read_text()))
    yaml.write_text(re.sub(r"^  (?=\w)", f"  {PREFIX}", yaml.read_text(), flags=re.MULTILINE))
    return copy


def read_by_uwsgi(name: str, directory: Path, environment: dict[str, str]) -> list[tuple[str, str]]:
    done = subprocess.run(
        [str(UWSGI), "--ini", name, "--show-config", "--no-server"],
        cwd=directory,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=20,
        check=False,
    )
    listing = _LISTING.search(done.stdout)
    assert listing is not None, done.stdout
    found: list[tuple[str, str]] = []
    for line in listing[1].split("\n"):
        key, equals, value = line.partition(" = ")
        if equals:
            found.append((key, value))
        else:
            found[-1] = (found[-1][0], f"{found[-1][1]}\n{line}")  # a value of several lines
    return [(key.removeprefix(PREFIX), _timeless(value)) for key, value in found if not is_grammar(key)]


def _timeless(value: str) -> str:
    """The variable %t again where its value stands: the two do not read in the same second."""
    return "%t" if value.isdecimal() and abs(int(value) - time.time()) < 60 else value


def without_differences(name: str, found: list[tuple[str, str]], side: int) -> list[tuple[str, str]]:
    return [(key, value) for key, value in found if DIFFERENCES.get((name, key), (None, None))[side] != value]


@pytest.mark.parametrize("name", FILES)
def test_uwsgi_reads_the_same(name: str, directory: Path) -> None:
    environment = {"PATH": os.environ["PATH"], **corpus.ENVIRONMENT}
    theirs = read_by_uwsgi(name, directory, environment)
    given = examine(["--ini", name], environment, Outside(), str(directory)).given
    ours = [(key.removeprefix(PREFIX), _timeless(value)) for key, value in given if not is_grammar(key)]
    for (file, key), (their, our) in DIFFERENCES.items():
        if file == name:
            assert (their is None or (key, their) in theirs) and (our is None or (key, our) in ours), "stale"
    assert without_differences(name, ours, 1) == without_differences(name, theirs, 0)


@pytest.mark.parametrize(
    "text",
    [
        "declare-option = x=@=[$0|$1|$2|$11]\nx =  a   b",
        "declare-option2 = x=@=one $1;;@=$1=$2;junk;@=after\nx = a b\nx",
        "x = early\n@ = between\ndeclare-option = x=@=$1\nx = late\n@ = last",
        "x = early\n@ = between\ndeclare-option2 = x=@=$1\nx = late\n@ = last",
        "declare-option = x=y=$1;@=$2\ndeclare-option = y=@=y $1\nx = a b",
        "declare-option = x=@=1\ndeclare-option = x=@=2\nx = a",
        "declare-option2 = x=@=$1\nx = %(k)\nk = 7",
    ],
)
def test_declared_options_mean_the_same(text: str, tmp_path: Path) -> None:
    """What uWSGI prints in the order in which things count is a setting for us."""
    (tmp_path / "a.ini").write_text("[uwsgi]\n" + text.replace("@", "print") + "\nprint = end of it\n")
    done = subprocess.run(
        [str(UWSGI), "--ini", "a.ini", "--no-server"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20, check=False,
    )  # fmt: skip
    theirs = done.stdout.split("end of it")[0].rstrip("\n").split("\n")
    (tmp_path / "a.ini").write_text("[uwsgi]\n" + text.replace("@", "note"))
    ours = [value for key, value in examine(["a.ini"], {}, Outside(), str(tmp_path)).given if key == "note"]
    assert ours
    assert theirs[-len(ours) :] == ours


def test_every_option_of_uwsgi_is_known() -> None:
    names = set(re.findall(r"^\s+(?:-\w\|)?--([a-z0-9_-]+)", output_of("--help"), re.MULTILINE))
    assert len(names) > 600
    spellings = CLOSERS | CONDITIONS | set(OLD_CONDITIONS) | {"help", "version"}
    unknown = sorted(name for name in names - spellings if metavar(name) is None)
    # Each release adds some; the table was made with this one.
    allowed = 0 if output_of("--version").startswith("2.0.21") else 30
    assert len(unknown) <= allowed, unknown


def output_of(question: str) -> str:
    done = subprocess.run(
        [str(UWSGI), question], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True, timeout=20
    )
    return done.stdout
