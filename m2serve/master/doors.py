"""The sockets that m2serve itself listens at: bound once, kept through every reload and upgrade.

The master accepts from none of them. Workers inherit the descriptors under the same numbers; what comes while there is
no worker waits in the kernel's queue.
"""

from __future__ import annotations

import logging
import os
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from m2serve.config import doors as plans
from m2serve.config.addresses import SocketAddress
from m2serve.door import Door
from m2serve.errors import ConfigError
from m2serve.master.heritage import LeftDoor
from m2serve.system import listen, secrets
from m2serve.system.listen import Manner
from m2serve.system.privileges import Privileges, group_number, user_number
from m2serve.transports.doors.tls import context

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from m2serve.config.doors import Wanted
    from m2serve.config.settings import Settings
    from m2serve.door import Tls
    from m2serve.system.activation import Activated
    from m2serve.system.listen import Inode

log = logging.getLogger("m2serve.master")

_UNCHANGED = Privileges()


class Held(NamedTuple):
    """A door, and what only the master has to know of it."""

    door: Door
    address: str
    """As the settings have it; empty: it is a service manager's, and no option names it."""
    path: str = ""
    """The file that is ours to remove."""
    inode: Inode | None = None
    secrets: tuple[int, ...] = ()
    """Descriptors of copies of its certificate's files, where workers cannot read those."""


@dataclass
class Doors:
    """All of them, from `open` or `take_over` to `close`.

    Args:
        rights: whom the processes become.
        activated: what a service manager has left open.
    """

    settings: Settings
    rights: Privileges = _UNCHANGED
    activated: Sequence[Activated] = ()
    held: list[Held] = field(default_factory=list)

    @property
    def doors(self) -> tuple[Door, ...]:
        return tuple(one.door for one in self.held)

    @property
    def secrets(self) -> tuple[int, ...]:
        """What workers need besides."""
        return tuple(fd for one in self.held for fd in one.secrets)

    def open(self) -> None:
        """Raises: ConfigError: one cannot be had; names the option's place."""
        rest = self._adopted()
        for one in plans.wanted(self.settings):
            found = next((sock for sock in rest if _is_at(sock, one.address)), None)
            try:
                self._add(one, found)
            except ConfigError as error:
                for sock in rest:
                    sock.close()
                raise ConfigError(f"{one.origin}: {one.address}: {error}") from error
            if found is not None:
                rest.remove(found)
        for sock in rest:
            self._add(self._unnamed(), sock)

    def take_over(self, left: Sequence[LeftDoor]) -> None:
        """Go on where another master listened. What the settings do not want any more is closed; what they want anew
        and cannot be had is told in the log."""
        rest = list(left)
        new = []
        for one in plans.wanted(self.settings):
            found = next((row for row in rest if row.address == str(one.address)), None)
            if found is None:
                found = next((row for row in rest if not row.address and _is_at_fd(row.fd, one.address)), None)
            if found is None:
                new.append(one)
            else:
                rest.remove(found)
                self._go_on(one, found)
        for row in [row for row in rest if not row.address]:
            rest.remove(row)
            self._go_on(self._unnamed(), row)
        for row in rest:
            # Tests wait for this line.
            log.info("nobody is to listen at %s any more", row.address)
            for fd in (row.fd, *row.secrets):
                os.close(fd)
            if self.settings.vacuum:
                listen.remove(row.path, row.inode)
        for one in new:
            try:
                self._add(one)
            except ConfigError as error:
                log.error("upgrade: %s: %s: %s", one.origin, one.address, error)

    def leave(self) -> tuple[LeftDoor, ...]:
        """For the program that goes on."""
        return tuple(LeftDoor(one.address, one.door.fd, one.path, one.inode, one.secrets) for one in self.held)

    def close(self) -> None:
        """Listen no more; with vacuum no file is left that nobody has bound anew."""
        for one in self.held:
            for fd in (one.door.fd, *one.secrets):
                os.close(fd)
            if self.settings.vacuum and not listen.remove(one.path, one.inode):
                log.warning("vacuum: this user cannot remove %s, which the next start will do", one.path)
        self.held.clear()

    def _adopted(self) -> list[socket.socket]:
        """Those of the service manager, but for what the settings name by its number."""
        numbers = {one.address.fd for one in plans.wanted(self.settings)}
        found = []
        for one in self.activated:
            if one.fd in numbers:
                continue
            try:
                found.append(listen.adopt(one.fd, self._manner(None)))
            except ConfigError as error:
                log.warning("LISTEN_FDS: descriptor %d %s: %s; it is left alone", one.fd, one.name, error)
        return found

    def _bound(self, one: Wanted) -> socket.socket:
        """Raises: ConfigError: it cannot be had."""
        if one.address.fd >= 0:
            return listen.adopt(one.address.fd, self._manner(one))
        return listen.listen(one.address, self._manner(one))

    def _add(self, one: Wanted, found: socket.socket | None = None) -> None:
        """Listen there, or go on with what a service manager has left. Raises: ConfigError: it cannot be had."""
        one, kept = self._readable(one)
        try:
            sock = found or self._bound(one)
        except ConfigError:
            for fd in kept:
                os.close(fd)
            raise
        ours = one.address.is_file and found is None
        held = Held(
            self._door(one, sock),
            "" if one.address == SocketAddress() else str(one.address),
            one.address.path if ours else "",
            listen.inode(one.address.path) if ours else None,
            kept,
        )
        self._note(held, "left by the service manager" if found is not None else "")
        sock.detach()

    def _go_on(self, one: Wanted, row: LeftDoor) -> None:
        sock = socket.socket(fileno=row.fd)
        sock.listen(self.settings.listen)
        kept = row.secrets
        if one.tls is not None and kept and not all(os.access(path, os.R_OK) for path in _files(one.tls)):
            one = one._replace(tls=_copied(one.tls, kept))
        else:
            for fd in kept:
                os.close(fd)
            kept = ()
        held = Held(self._door(one, sock), row.address, row.path, row.inode, kept)
        self._note(held, "inherited")
        sock.detach()

    def _readable(self, one: Wanted) -> tuple[Wanted, tuple[int, ...]]:
        """With a certificate that workers can read: in uWSGI it is root who does. Raises: ConfigError: it is none."""
        if one.tls is None:
            return one, ()
        context(one.tls)
        if not self.rights or secrets.can_read(self.rights, _files(one.tls)):
            return one, ()
        kept = tuple(secrets.keep(path) for path in _files(one.tls))
        # Tests wait for this line.
        log.info("%s: read as root and kept in memory: a new one counts after a restart", one.tls.certificate)
        return one._replace(tls=_copied(one.tls, kept)), kept

    def _note(self, held: Held, how: str) -> None:
        self.held.append(held)
        how = f", {how}" if how else ""
        for_whom = f", for workers {', '.join(map(str, held.door.workers))}" if held.door.workers else ""
        # Tests wait for this line.
        log.info("%s door at %s%s%s", held.door.protocol, held.door.name, how, for_whom)

    def _door(self, one: Wanted, sock: socket.socket) -> Door:
        limits = plans.timeouts(self.settings, one.protocol)
        local = ("", 0) if sock.family == socket.AF_UNIX else sock.getsockname()[:2]
        return Door(
            protocol=one.protocol,
            name=listen.name_of(sock),
            fd=sock.fileno(),
            family=socket.AddressFamily(sock.family),
            local=local,
            keepalive=limits.keepalive,
            head_timeout=limits.head,
            body_timeout=limits.body,
            chunk_timeout=limits.chunked,
            tls=one.tls,
            shared=one.shared,
            workers=one.workers,
        )

    def _unnamed(self) -> Wanted:
        """One that no option names."""
        return plans.Wanted("protocol", "", self.settings.protocol, SocketAddress())

    def _manner(self, one: Wanted | None) -> Manner:
        settings = self.settings
        others = [other.address for other in plans.wanted(settings)]
        return Manner(
            settings.listen,
            settings.chmod_socket,
            self._give_away,
            settings.reuse_port,
            settings.freebind,
            settings.so_keepalive,
            settings.tcp_nodelay,
            not settings.no_defer_accept,
            one is not None
            and one.address.family == socket.AF_INET6
            and any(other.family == socket.AF_INET and other.port == one.address.port for other in others),
        )

    def _give_away(self, path: str) -> None:
        """Raises: ConfigError: there is nobody of that name."""
        owner = self.settings.chown_socket
        if owner is None:
            self.rights.own(path)
            return
        place = f"chown-socket = {owner} ({self.settings.origin('chown_socket')})"
        uid = _number(owner.user, user_number, place)
        gid = _number(owner.group, group_number, place)
        try:
            os.chown(path, uid, gid, follow_symlinks=False)
        except PermissionError:
            log.warning("%s: only root can give away %s", place, path)


def _files(tls: Tls) -> list[str]:
    return [path for path in (tls.certificate, tls.key, tls.client_ca) if path]


def _copied(tls: Tls, kept: Sequence[int]) -> Tls:
    """The same certificate; *kept* are its `_files`."""
    certificate, key, *client_ca = map(secrets.path_of, kept)
    return tls._replace(certificate=certificate, key=key, client_ca="".join(client_ca))


def _number(text: str, look: Callable[[str], int], place: str) -> int:
    """Of a user or group; -1: stays as it is. Raises: ConfigError: there is nobody of that name."""
    if not text:
        return -1
    try:
        return look(text)
    except KeyError:
        raise ConfigError(f"{place}: there is nobody called {text} here") from None


def _is_at(sock: socket.socket, address: SocketAddress) -> bool:
    """Whether it is bound there. A host name is looked up."""
    if sock.family != address.family or address.fd >= 0 or address.shared >= 0:
        return False
    name = listen.name_of(sock)
    if name == str(address):
        return True
    if address.path:
        return False
    try:
        found = socket.getaddrinfo(address.host, address.port, sock.family, socket.SOCK_STREAM)
    except OSError:
        return False
    return any(one[4][:2] == sock.getsockname()[:2] for one in found)


def _is_at_fd(fd: int, address: SocketAddress) -> bool:
    sock = socket.socket(fileno=fd)
    try:
        return _is_at(sock, address)
    finally:
        sock.detach()
