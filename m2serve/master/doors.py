"""The sockets that m2serve itself listens at: bound once, kept through every reload and upgrade.

The master accepts from none of them. Workers inherit the descriptors under the same numbers; what comes while there is
no worker waits in the kernel's queue.
"""

from __future__ import annotations

import grp
import logging
import os
import pwd
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from m2serve.config import doors as plans
from m2serve.config.addresses import SocketAddress
from m2serve.door import Door
from m2serve.errors import ConfigError
from m2serve.master.heritage import LeftDoor
from m2serve.system import listen
from m2serve.system.listen import Manner

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from m2serve.config.doors import Wanted
    from m2serve.config.settings import Settings
    from m2serve.system.activation import Activated
    from m2serve.system.listen import Inode

log = logging.getLogger("m2serve.master")


class Held(NamedTuple):
    """A door, and what only the master has to know of it."""

    door: Door
    address: str
    """As the settings have it; empty: it is a service manager's, and no option names it."""
    path: str = ""
    """The file that is ours to remove."""
    inode: Inode | None = None


@dataclass
class Doors:
    """All of them, from `open` or `take_over` to `close`.

    Args:
        own: gives a file to whom the processes become.
        activated: what a service manager has left open.
    """

    settings: Settings
    own: Callable[[str], None] | None = None
    activated: Sequence[Activated] = ()
    held: list[Held] = field(default_factory=list)

    @property
    def doors(self) -> tuple[Door, ...]:
        return tuple(one.door for one in self.held)

    def open(self) -> None:
        """Raises: ConfigError: one cannot be had; names the option's place."""
        rest = self._adopted()
        for one in plans.wanted(self.settings):
            try:
                found = next((sock for sock in rest if _is_at(sock, one.address)), None)
                if found is not None:
                    rest.remove(found)
                    self._hold(one, found, "left by the service manager")
                else:
                    self._hold(one, self._bound(one), "")
            except ConfigError as error:
                raise ConfigError(f"{one.origin}: {one.address}: {error}") from error
        for sock in rest:
            self._hold(self._unnamed(), sock, "left by the service manager")

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
            os.close(row.fd)
            if self.settings.vacuum:
                listen.remove(row.path, row.inode)
        for one in new:
            try:
                self._hold(one, self._bound(one), "")
            except ConfigError as error:
                log.error("upgrade: %s: %s: %s", one.origin, one.address, error)

    def leave(self) -> tuple[LeftDoor, ...]:
        """For the program that goes on."""
        return tuple(LeftDoor(one.address, one.door.fd, one.path, one.inode) for one in self.held)

    def close(self) -> None:
        """Listen no more; with vacuum no file is left that nobody has bound anew."""
        for one in self.held:
            os.close(one.door.fd)
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

    def _hold(self, one: Wanted, sock: socket.socket, how: str) -> None:
        ours = one.address.is_file and not how
        held = Held(
            self._door(one, sock),
            "" if one.address == SocketAddress() else str(one.address),
            one.address.path if ours else "",
            listen.inode(one.address.path) if ours else None,
        )
        self._note(held, how)
        sock.detach()

    def _go_on(self, one: Wanted, row: LeftDoor) -> None:
        sock = socket.socket(fileno=row.fd)
        sock.listen(self.settings.listen)
        held = Held(self._door(one, sock), row.address, row.path, row.inode)
        self._note(held, "inherited")
        sock.detach()

    def _note(self, held: Held, how: str) -> None:
        self.held.append(held)
        # Tests wait for this line.
        log.info("%s door at %s%s", held.door.protocol, held.door.name, f", {how}" if how else "")

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
            tls=one.tls,
            shared=one.shared,
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
            one is not None
            and one.address.family == socket.AF_INET6
            and any(other.family == socket.AF_INET and other.port == one.address.port for other in others),
        )

    def _give_away(self, path: str) -> None:
        """Raises: ConfigError: there is nobody of that name."""
        owner = self.settings.chown_socket
        if owner is None:
            if self.own is not None:
                self.own(path)
            return
        place = f"chown-socket = {owner} ({self.settings.origin('chown_socket')})"
        uid = _number(owner.user, lambda name: pwd.getpwnam(name).pw_uid, place)
        gid = _number(owner.group, lambda name: grp.getgrnam(name).gr_gid, place)
        try:
            os.chown(path, uid, gid, follow_symlinks=False)
        except PermissionError:
            log.warning("%s: only root can give away %s", place, path)


def _number(text: str, look: Callable[[str], int], place: str) -> int:
    """Of a user or group; -1: stays as it is. Raises: ConfigError: there is nobody of that name."""
    if not text or text.isdecimal():
        return int(text or -1)
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
