# ruff: noqa: RUF009 - option() makes a dataclass field, it shares no default.
"""Options about the connection to Mongrel2."""

from dataclasses import dataclass
from typing import Literal

from m2serve.config.mongrel2_values import ChrootOption, FrontSetting
from m2serve.config.option import option
from m2serve.config.values import UrlPath
from m2serve.endpoint import ListenAddress, ZmqPair
from m2serve.ids import Bytes, Seconds


@dataclass(frozen=True)
class Mongrel2Group:
    """Mongrel2"""

    zeromq: tuple[ZmqPair, ...] = option(
        (),
        "Send and receive spec of a Mongrel2 handler. Repeat it for several servers.",
        names=("zmq", "zeromq-socket", "zmq-socket", "mongrel2"),
        metavar="SEND,RECV",
    )
    mongrel2_config: str | None = option(
        None,
        "Mongrel2's own database: what m2serve has to know of it stands there, the addresses too.",
        metavar="FILE",
    )
    handler: str | None = option(
        None, "The handler in that database that we are, by its send_ident; not needed if it has one.", metavar="IDENT"
    )
    mongrel2_chroot: tuple[ChrootOption, ...] = option(
        (),
        "Where Mongrel2's / lies for us. ENDPOINT is the send spec of one of several.",
        metavar="[ENDPOINT=]DIR",
    )
    mongrel2_setting: tuple[FrontSetting, ...] = option(
        (),
        "A setting of Mongrel2's own: written for with-mongrel2, known of one started elsewhere.",
        metavar="KEY=VALUE",
    )
    zeromq_direct: bool = option(
        False, "Each thread takes requests from Mongrel2 by itself; no dispatcher, no queue of our own."
    )
    with_mongrel2: ListenAddress | None = option(
        None, "Start a Mongrel2 that listens here, configured for this application.", metavar="[HOST:]PORT"
    )
    mongrel2_protocol: Literal["tnetstring", "json"] = option(
        "tnetstring", "Format of the handler messages in the generated configuration."
    )
    mongrel2_dir: str | None = option(
        None,
        "Directory for the files of with-mongrel2; by default a temporary one, removed at exit.",
        metavar="DIR",
    )
    mongrel2_binary: str = option("mongrel2", "Program started by with-mongrel2.", metavar="PROGRAM")
    request_buffer: Bytes = option(
        Bytes(16 * 1024 * 1024),
        "Room for the requests taken from one Mongrel2; a single one may fill half of it.",
        minimum=64 * 1024,
    )
    keep_alive_interval: Seconds = option(
        Seconds(45),
        "How often Mongrel2 is told not to cull connections whose answers take long; 0: never.",
    )
    response_buffer: Bytes = option(
        Bytes(1024 * 1024), "How much of an answer may wait for a slow client in memory; the rest waits on disk."
    )
    response_spool: Bytes = option(
        Bytes(1024**3),
        "How much of an answer may wait on disk, in a temporary file; beyond it the application waits. 0: no file.",
    )
    send_timeout: Seconds = option(
        Seconds(60),
        "How long a client may read nothing of an answer that waits for it; then its connection is closed. Seen where "
        "Mongrel2 gives download credits. 0: no limit.",
        names=("so-send-timeout", "so-write-timeout"),
    )
    queue_limit: int = option(1000, "Requests that may wait for a thread; more are answered 503.", minimum=1)
    queue_timeout: Seconds = option(Seconds(30), "How long a request may wait for a thread; then it is answered 503.")
    health_check: tuple[UrlPath, ...] = option(
        (), "Path whose requests wait in front of all others, and beside queue-limit, for a thread.", metavar="PATH"
    )
    retry_idempotent: bool = option(
        False,
        "A GET or HEAD whose worker dies before the first byte of its answer is given to another one, once; "
        "else it is answered 502.",
    )
