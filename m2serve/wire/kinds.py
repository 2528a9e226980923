"""Which codec speaks which protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from m2serve.wire.fastcgi import FastCgiDoor
from m2serve.wire.http1 import Http1Door
from m2serve.wire.scgi import ScgiDoor
from m2serve.wire.uwsgi import UwsgiDoor

if TYPE_CHECKING:
    from m2serve.door import DoorProtocol
    from m2serve.trusted import Trusted
    from m2serve.wire.door import CodecFactory, Limits


def codec_factory(protocol: DoorProtocol, limits: Limits, trusted: Trusted) -> CodecFactory:
    """What makes the codecs of a door's connections. They share what they remember: one factory for each door of a
    worker. Any thread may call it.

    Args: trusted: those whose word about HTTP clients is believed. Who speaks the other protocols is a web server.
    """
    if protocol in ("http", "https"):
        return Http1Door(limits, trusted).connection
    if protocol == "uwsgi":
        return UwsgiDoor(limits).connection
    if protocol == "fastcgi":
        return FastCgiDoor(limits).connection
    return ScgiDoor(limits).connection
