"""Placeholders."""

from __future__ import annotations

import pytest

from m2serve.config.entry import COMMAND_LINE, Entry
from m2serve.config.magic import Expander, file_magic
from m2serve.errors import ConfigError


def expand(value: str, /, *, env: dict[str, str] | None = None, origin: str = "a.ini:9", **names: str) -> str:
    entry = Entry("key", value, origin, magic={"d": "/srv/"})
    entries = [Entry(name, text, "a.ini:1") for name, text in names.items()]
    return Expander([*entries, entry], env or {}).expand(entry)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("%(base)/app", "/srv/app"),
        ("%(site)", "/srv/shop"),
        ("%(unknown)", "%(unknown)"),
        ("%(base + 1)", "%(base + 1)"),
        ("%d", "/srv/"),
        ("%%d 100%% %%(base)", "%d 100% %(base)"),
        ("%H:%M %", "%H:%M %"),
        ("$(HOME)", "/root"),
        ("$(NOPE)", "$(NOPE)"),
        ("$(NOPE:-x)$(NOPE-y)$(EMPTY-z)$(EMPTY:-z)", "xyz"),
        ("${HOME}", "${HOME}"),
    ],
)
def test_replaces(value: str, expected: str) -> None:
    env = {"HOME": "/root", "EMPTY": ""}
    assert expand(value, env=env, base="/srv", site="%(base)/shop") == expected


def test_the_shell_has_no_magic_letters() -> None:
    assert expand("%d %% %(base)", origin=COMMAND_LINE, base="x") == "%d %% x"


def test_a_name_means_its_first_definition() -> None:
    entries = [Entry("a", "1", "f:1"), Entry("a", "2", "f:2"), Entry("b", "%(a)", "f:3")]
    expander = Expander(entries, {})
    assert expander.expand(entries[2]) == "1"
    assert expander.referenced == {"a"}


def test_the_environment_is_not_expanded_again() -> None:
    assert expand("$(X)", env={"X": "%(base)"}, base="x") == "%(base)"


@pytest.mark.parametrize("names", [{"a": "%(a)"}, {"a": "%(b)", "b": "%(a)"}])
def test_a_circle_is_a_mistake(names: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="refers to itself"):
        expand("%(a)", **names)


def test_growth_has_an_end() -> None:
    names = {f"n{level}": f"%(n{level + 1})" * 10 for level in range(30)} | {"n30": "x" * 10}
    with pytest.raises(ConfigError, match="grow past"):
        expand("%(n0)", **names)


def test_depth_has_an_end() -> None:
    names = {f"n{level}": f"%(n{level + 1})" for level in range(5000)}
    with pytest.raises(ConfigError, match="nested"):
        expand("%(n0)", **names)


def test_variables_of_a_file() -> None:
    magic = file_magic("conf/shop.dev.ini", "dev", "/srv/sites")
    expected = {"o": "conf/shop.dev.ini", "p": "/srv/sites/conf/shop.dev.ini", "s": "shop.dev.ini"}
    expected |= {"n": "shop.dev", "e": "ini", "d": "/srv/sites/conf/", "c": "conf", "x": "dev"}
    expected |= {"0": "srv", "1": "sites", "2": "conf"}
    assert magic == expected


def test_a_file_at_the_root() -> None:
    magic = file_magic("/shop.ini", "", "/srv")
    assert (magic["d"], magic["c"]) == ("/", "")
