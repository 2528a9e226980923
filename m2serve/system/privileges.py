"""Root's rights given up: root directory, groups, user, in this order."""

from __future__ import annotations

import contextlib
import ctypes
import grp
import os
import pwd
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from m2serve.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from m2serve.config.settings import Settings

_PR_SET_DUMPABLE = 4
_ROOT = 0
_LARGEST = 2**32 - 2
_DIGITS = 10

_libc: Any = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Privileges:
    """Whom a process becomes; None: stays as it is.

    All names are looked up before: in another root directory there may be no tables of users.
    """

    uid: int | None = None
    gid: int | None = None
    groups: tuple[int, ...] | None = None
    chroot: str | None = None
    name: str = ""
    """For the log: ``www-data:www-data``."""

    def __bool__(self) -> bool:
        return self.uid is not None or self.gid is not None or self.groups is not None or self.chroot is not None

    def assume(self) -> None:
        """Become that; there is no way back.

        Raises: ConfigError: the kernel refused; the process is then neither one nor the other and has to leave.
        """
        if not self:
            return
        try:
            if self.chroot is not None:
                _load_what_imports_late()
                os.chroot(self.chroot)
                os.chdir("/")
            if self.groups is not None:
                os.setgroups(self.groups)
            if self.gid is not None:
                os.setresgid(self.gid, self.gid, self.gid)
            if self.uid is not None:
                os.setresuid(self.uid, self.uid, self.uid)
        except OSError as error:
            raise ConfigError(f"cannot become {self}: {error.strerror}") from error
        # The kernel took it away with the user: without it /proc/PID of this process is root's, and nothing dumps core.
        _libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)

    def own(self, path: str) -> None:
        """Give a file to that user and group, as far as it can be given.

        Never what a symbolic link leads to: the directory may be that user's, and we are root.
        """
        if self.uid is None and self.gid is None:
            return
        with contextlib.suppress(OSError):
            os.chown(path, _or_same(self.uid), _or_same(self.gid), follow_symlinks=False)

    def __str__(self) -> str:
        words = [self.name] if self.name else []
        if self.chroot is not None:
            words.append(f"in {self.chroot}")
        return " ".join(words)


def _or_same(number: int | None) -> int:
    return -1 if number is None else number


def wanted(settings: Settings) -> Privileges:
    """What the options ask for, less what is so already.

    Raises: ConfigError: nobody is called so, or only root could; a line for each mistake.
    """
    problems: list[str] = []

    def looked_up(field: str, text: str | None, look: Callable[[str], int]) -> int | None:
        if text is None:
            return None
        try:
            return look(text)
        except KeyError:
            kind = "user" if field == "uid" else "group"
            option = field.replace("_", "-")
            problems.append(f"{settings.origin(field)}: {option} = {text}: there is no {kind} of that name here")
            return None

    uid = looked_up("uid", settings.uid, user_number)
    gid = looked_up("gid", settings.gid, group_number)
    added = [looked_up("add_gid", text, group_number) for text in settings.add_gid]
    entry = _entry(uid)
    if uid is not None and settings.gid is None:
        if entry is not None:
            gid = entry.pw_gid
        elif uid != os.geteuid():
            problems.append(f"{settings.origin('uid')}: uid = {uid}: no such user is known: expected gid, too")
    if problems:
        raise ConfigError("\n".join(problems))
    if os.geteuid() != _ROOT:
        _refuse(settings, uid, gid, [one for one in added if one is not None])
        return Privileges()
    if uid is None and gid is None and not added and settings.chroot is None:
        return Privileges()
    groups: tuple[int, ...] | None = None
    if gid is not None or added:
        known = [] if settings.no_initgroups or entry is None or gid is None else os.getgrouplist(entry.pw_name, gid)
        groups = tuple(dict.fromkeys([*known, *(one for one in added if one is not None)]))
    chroot = None if settings.chroot is None else os.path.abspath(settings.chroot)
    return Privileges(uid, gid, groups, chroot, _called(uid, gid))


def named(user: str, group: str, place: str) -> Privileges:
    """The same for one program, whose *user* and *group* may be empty.

    Raises: ConfigError: nobody is called so, or only root could.
    """
    if not user and not group:
        return Privileges()
    try:
        uid = user_number(user) if user else None
        entry = _entry(uid)
        gid = group_number(group) if group else entry.pw_gid if entry is not None else None
    except KeyError as error:
        raise ConfigError(f"{place}: there is nobody called {error} here") from None
    if os.geteuid() != _ROOT:
        if uid not in (None, os.getuid()) or (group and gid != os.getgid()):
            raise ConfigError(f"{place}: only root can change its user or group; master-as-root keeps the rights")
        return Privileges()
    known = os.getgrouplist(entry.pw_name, gid) if entry is not None and gid is not None else []
    groups = tuple(dict.fromkeys(known))
    return Privileges(uid, gid, groups, None, _called(uid, gid))


def _refuse(settings: Settings, uid: int | None, gid: int | None, added: list[int]) -> None:
    """Raises: ConfigError: something else is asked for than what we are."""
    problems: list[tuple[str, str | None, str]] = []
    if settings.chroot is not None:
        problems.append(("chroot", settings.chroot, "change its root directory"))
    if uid is not None and uid != os.getuid():
        problems.append(("uid", settings.uid, "become somebody else"))
    if settings.gid is not None and gid != os.getgid():
        problems.append(("gid", settings.gid, "change its group"))
    if not set(added) <= {os.getgid(), *os.getgroups()}:
        problems.append(("add_gid", ", ".join(settings.add_gid), "add a group"))
    if problems:
        who = f"user {_called(os.getuid(), None)}"
        raise ConfigError(
            "\n".join(
                f"{settings.origin(field)}: {field.replace('_', '-')} = {text}: {who} cannot {what}, only root can"
                for field, text, what in problems
            )
        )


def user_number(text: str) -> int:
    """Of a user's name or number. Raises: KeyError: there is no such user, or can be none."""
    return _number(text) if text.isdecimal() else pwd.getpwnam(text).pw_uid


def group_number(text: str) -> int:
    """Of a group's name or number. Raises: KeyError: as `user_number`."""
    return _number(text) if text.isdecimal() else grp.getgrnam(text).gr_gid


def _number(text: str) -> int:
    """Raises: KeyError: nobody can have that number."""
    if len(text) > _DIGITS or int(text) > _LARGEST:
        raise KeyError(text)
    return int(text)


def _entry(uid: int | None) -> pwd.struct_passwd | None:
    if uid is None:
        return None
    try:
        return pwd.getpwuid(uid)
    except KeyError:
        return None


def _called(uid: int | None, gid: int | None) -> str:
    entry = _entry(uid)
    words = [] if uid is None else [entry.pw_name if entry is not None else str(uid)]
    if gid is not None:
        try:
            words.append(grp.getgrgid(gid).gr_name)
        except KeyError:
            words.append(str(gid))
    return ":".join(words)


def _load_what_imports_late() -> None:
    """Files of the system that Python and libc read at their first use; in another root they may not be there."""
    "".encode("idna")
    time.tzset()
    with contextlib.suppress(KeyError):
        pwd.getpwuid(os.getuid())
