# ruff: noqa: RUF009 - option() makes a dataclass field, it shares no default.
"""Options about sockets that m2serve itself listens at."""

# Annotations are read at run time: no postponed evaluation in this directory.
from dataclasses import dataclass
from typing import Literal

from m2serve.config.addresses import SocketAddress, SocketMap, TlsAddress
from m2serve.config.option import option
from m2serve.config.socket_values import KEEP_ALIVE, POST_BUFFERING, KeepAlive, Owner, PostBuffering, SocketMode
from m2serve.ids import Bytes, Seconds
from m2serve.trusted import Trusted

_ADDRESS = "[HOST]:PORT|PATH|@NAME|fd://N|=N"


@dataclass(frozen=True)
class SocketsGroup:
    """Sockets of our own (docs/sockets.md)"""

    socket: tuple[SocketAddress, ...] = option(
        (),
        "Listen here for a web server in front, which speaks the uwsgi protocol, or what protocol says. What has no "
        "colon is the path of a Unix socket.",
        names=("uwsgi-socket", "s"),
        metavar=_ADDRESS,
    )
    http: tuple[SocketAddress, ...] = option(
        (), "Listen here for HTTP/1.1.", names=("http-socket", "http11-socket"), metavar=_ADDRESS
    )
    https: tuple[TlsAddress, ...] = option(
        (),
        "Listen here for HTTP/1.1 over TLS. With CLIENT_CA a client needs a certificate of theirs.",
        names=("https-socket", "https2"),
        metavar="ADDRESS,CERT,KEY[,CIPHERS[,CLIENT_CA]]",
    )
    fastcgi_socket: tuple[SocketAddress, ...] = option((), "Listen here for FastCGI.", metavar=_ADDRESS)
    scgi_socket: tuple[SocketAddress, ...] = option((), "Listen here for SCGI.", metavar=_ADDRESS)
    protocol: Literal["uwsgi", "http", "fastcgi", "scgi"] = option(
        "uwsgi",
        "What is spoken at each socket, and at those of a service manager that no option names.",
        names=("socket-protocol",),
    )
    shared_socket: tuple[SocketAddress, ...] = option(
        (), "Address that =0, =1 and so on stand for, in their order.", metavar="[HOST]:PORT|PATH|@NAME|fd://N"
    )
    map_socket: tuple[SocketMap, ...] = option(
        (),
        "Have a socket served by these workers only. Sockets are counted from 0 as they are declared; those of http "
        "and https, which uWSGI does not count, come behind all others. Workers are counted from 1.",
        metavar="SOCKET:WORKER[,WORKER...]",
    )
    listen: int = option(100, "Connections that may wait to be accepted, at each socket.", names=("l",), minimum=1)
    chmod_socket: SocketMode | None = option(
        None,
        "Permissions of Unix sockets, as an octal number; without one, 666. By default umask decides.",
        names=("chmod", "C"),
        metavar="MODE",
    )
    chown_socket: Owner | None = option(
        None, "Whom Unix sockets belong to; by default uid and gid.", metavar="USER[:GROUP]"
    )
    vacuum: bool = option(
        True,
        "Remove Unix sockets at exit, unless another server has bound them anew. Pid files and the socket of stats "
        "are always removed.",
    )
    reuse_port: bool = option(False, "Let other servers of this user listen at the same ports (SO_REUSEPORT).")
    freebind: bool = option(False, "Listen at addresses that this host does not have yet (IP_FREEBIND).")
    so_keepalive: bool = option(False, "Have the kernel look whether idle clients are still there (SO_KEEPALIVE).")
    tcp_nodelay: bool = option(True, "Let no small piece of an answer wait for company (TCP_NODELAY).")
    no_defer_accept: bool = option(
        False,
        "Accept a TCP connection at once. Without this the kernel keeps it until its client has said something, some "
        "seconds at most (TCP_DEFER_ACCEPT), which costs a worker less.",
    )
    http_keepalive: KeepAlive = option(
        KeepAlive(KEEP_ALIVE),
        "How long a connection of HTTP or FastCGI may wait for its next request; without a number, 75 s; 0: each "
        "serves one.",
        metavar="SECONDS",
    )
    http_headers_timeout: Seconds = option(
        Seconds(10),
        "How long the head of a request may take, from its first byte; then it is answered 408.",
        names=("http-header-timeout",),
        minimum=1,
    )
    http_timeout: Seconds = option(
        Seconds(60), "How long the next bytes of a body may take; then it is answered 408.", minimum=1
    )
    http_max_headers: int = option(128, "Headers of a request; one with more is answered 431.", minimum=8)
    buffer_size: Bytes = option(
        Bytes(32 * 1024),
        "Largest head of a request, or block of variables; what is larger is answered 431.",
        names=("b",),
        minimum=1024,
    )
    post_buffering: PostBuffering = option(
        PostBuffering(POST_BUFFERING),
        "How much of a body waits in memory until it has all come; the rest waits in a temporary file.",
        metavar="BYTES",
    )
    forwarded_allow_ips: Trusted = option(
        Trusted.parse("127.0.0.1,::1"),
        "Who is believed what X-Forwarded-For and X-Forwarded-Proto say: addresses and networks, unix for Unix "
        "sockets, * for everybody.",
        metavar="ADDRESSES",
    )
