"""Whom the options mean, looked up in tables of the test's own."""

from __future__ import annotations

import grp
import os
import pwd
from typing import TYPE_CHECKING

import pytest

from m2serve.config.modes import Mode
from m2serve.config.settings import Settings
from m2serve.errors import ConfigError
from m2serve.system.privileges import Privileges, named, wanted

if TYPE_CHECKING:
    from pathlib import Path

USERS = {"root": (0, 0), "www": (33, 34), "me": (1000, 1000)}
GROUPS = {"www": 34, "disk": 6, "video": 44}
MEMBERSHIPS = {"www": [34, 44], "me": [1000, 27]}


def entry(name: str) -> pwd.struct_passwd:
    uid, gid = USERS[name]
    return pwd.struct_passwd((name, "x", uid, gid, "", "/", "/bin/sh"))


@pytest.fixture(autouse=True)
def tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pwd, "getpwnam", entry)
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: entry({uid: name for name, (uid, _) in USERS.items()}[uid]))
    monkeypatch.setattr(grp, "getgrnam", lambda name: grp.struct_group((name, "x", GROUPS[name], [])))
    monkeypatch.setattr(
        grp, "getgrgid", lambda gid: grp.struct_group(({gid: name for name, gid in GROUPS.items()}[gid], "x", gid, []))
    )
    monkeypatch.setattr(os, "getgrouplist", lambda name, gid: [gid, *MEMBERSHIPS[name]])
    become(monkeypatch, 0, 0)


def become(monkeypatch: pytest.MonkeyPatch, uid: int, gid: int, *groups: int) -> None:
    for name, value in (("getuid", uid), ("geteuid", uid), ("getgid", gid), ("getgroups", list(groups))):
        monkeypatch.setattr(os, name, lambda value=value: value)


def settings(**options: object) -> Settings:
    return Settings(**options)  # type: ignore[arg-type]


def test_nothing_asked_for() -> None:
    assert not wanted(settings())


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"uid": "www"}, Privileges(33, 34, (34, 44), None, "www:www")),
        ({"uid": "33", "gid": "34"}, Privileges(33, 34, (34, 44), None, "www:www")),
        ({"uid": "www", "gid": "disk"}, Privileges(33, 6, (6, 34, 44), None, "www:disk")),
        ({"uid": "www", "no_initgroups": True}, Privileges(33, 34, (), None, "www:www")),
        ({"uid": "www", "add_gid": ("disk", "4711")}, Privileges(33, 34, (34, 44, 6, 4711), None, "www:www")),
        ({"uid": "4711", "gid": "4712"}, Privileges(4711, 4712, (), None, "4711:4712")),
        ({"gid": "disk"}, Privileges(None, 6, (), None, "disk")),
        ({"chroot": "/srv"}, Privileges(None, None, None, "/srv", "")),
    ],
)
def test_root_becomes_what_is_asked_for(options: dict[str, object], expected: Privileges) -> None:
    assert wanted(settings(**options)) == expected


def test_the_log_says_who_and_where() -> None:
    assert str(wanted(settings(uid="www", chroot="/srv/jail"))) == "www:www in /srv/jail"


def test_all_mistakes_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        wanted(settings(uid="wwww", gid="www", add_gid=("dosk",)))
    assert str(caught.value).splitlines() == [
        "default: uid = wwww: there is no user of that name here",
        "default: add-gid = dosk: there is no group of that name here",
    ]
    with pytest.raises(ConfigError, match="there is no user of that name"):
        wanted(settings(uid="99999999999", gid="0"))
    with pytest.raises(ConfigError, match=r"uid = 4711: no such user is known: expected gid, too"):
        wanted(settings(uid="4711"))


@pytest.mark.parametrize(
    "options",
    [{"uid": "me"}, {"uid": "1000", "gid": "1000"}, {"gid": "1000"}, {"uid": "me", "add_gid": ("video",)}],
)
def test_who_is_it_already_needs_nothing(monkeypatch: pytest.MonkeyPatch, options: dict[str, object]) -> None:
    become(monkeypatch, 1000, 1000, 44)
    assert not wanted(settings(**options))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"uid": "root"}, "uid = root: user me cannot become somebody else, only root can"),
        ({"uid": "me", "gid": "disk"}, "gid = disk: user me cannot change its group, only root can"),
        ({"add_gid": ("disk",)}, "add-gid = disk: user me cannot add a group, only root can"),
        ({"chroot": "/srv"}, "chroot = /srv: user me cannot change its root directory, only root can"),
    ],
)
def test_others_need_root(monkeypatch: pytest.MonkeyPatch, options: dict[str, object], words: str) -> None:
    become(monkeypatch, 1000, 1000, 44)
    with pytest.raises(ConfigError, match=words):
        wanted(settings(**options))


@pytest.mark.parametrize(
    ("user", "group", "expected"),
    [
        ("", "", Privileges()),
        ("www", "", Privileges(33, 34, (34, 44), None, "www:www")),
        ("www", "disk", Privileges(33, 6, (6, 34, 44), None, "www:disk")),
        ("", "disk", Privileges(None, 6, (), None, "disk")),
    ],
)
def test_a_program_of_its_own_user(user: str, group: str, expected: Privileges) -> None:
    assert named(user, group, "attach-daemon2") == expected


def test_a_program_of_a_user_that_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="attach-daemon2: there is nobody called 'wwww' here"):
        named("wwww", "", "attach-daemon2")
    become(monkeypatch, 1000, 1000)
    assert not named("me", "1000", "attach-daemon2")
    with pytest.raises(ConfigError, match="only root can change its user or group; master-as-root keeps the rights"):
        named("www", "", "attach-daemon2")


def test_the_kernel_may_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*numbers: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "setgroups", refuse)
    with pytest.raises(ConfigError, match="cannot become www:www: Operation not permitted"):
        wanted(settings(uid="www")).assume()


def test_in_this_order(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    for name in ("chroot", "chdir", "setgroups", "setresgid", "setresuid"):
        monkeypatch.setattr(os, name, lambda *args, name=name: called.append(name))
    wanted(settings(uid="www", chroot="/srv")).assume()
    assert called == ["chroot", "chdir", "setgroups", "setresgid", "setresuid"]


def test_what_a_link_leads_to_is_not_given_away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given: list[tuple[object, ...]] = []
    monkeypatch.setattr(os, "chown", lambda *args, **options: given.append((*args, options["follow_symlinks"])))
    Privileges(33, None).own(str(tmp_path))
    Privileges().own(str(tmp_path))
    assert given == [(str(tmp_path), 33, -1, False)]


@pytest.mark.parametrize(("text", "mode"), [("022", 0o022), ("0640", 0o640), ("0", 0), ("7", 7), ("0o27", 0o27)])
def test_modes_are_octal(text: str, mode: int) -> None:
    assert Mode.parse(text) == mode
    assert Mode.parse(str(Mode(mode))) == mode


@pytest.mark.parametrize("text", ["", "8", "rwx", "66666", "-1"])
def test_what_is_no_mode(text: str) -> None:
    with pytest.raises(ConfigError, match="octal"):
        Mode.parse(text)
