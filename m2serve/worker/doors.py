"""Doors, as a worker's settings have them."""

from __future__ import annotations

import logging
import math
import resource
from typing import TYPE_CHECKING, Final

from m2serve.errors import ConfigError
from m2serve.transports.doors.guests import Policy
from m2serve.transports.doors.room import DoorRoom
from m2serve.transports.doors.tls import Certificates
from m2serve.wire.door import Limits
from m2serve.wire.kinds import codec_factory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from m2serve.config.postlimits import PostLimits
    from m2serve.config.settings import Settings
    from m2serve.door import Door
    from m2serve.transports.dispatched import MailRoom

log = logging.getLogger("m2serve.worker")

_MOST: Final = 65536
"""Descriptors that a worker wants, if the kernel lets it have them."""
_OTHERS: Final = 128
"""Those that are left to the application."""


def open_doors(
    settings: Settings,
    doors: Sequence[Door],
    limits: PostLimits,
    visitors: memoryview,
    worker: int,
    refused: memoryview,
    mail: MailRoom | None,
) -> DoorRoom:
    """Accept at those of *doors* that are for this worker; see :class:`DoorRoom` for the rest."""
    patience = float(settings.send_timeout) or math.inf
    policy = Policy(limits, int(settings.post_buffering), patience, _connections())
    room = DoorRoom(policy, visitors, worker, refused, mail)
    believed = Limits(settings.buffer_size, settings.http_max_headers, settings.chunked_input_limit)
    for door in doors:
        if door.workers and worker not in door.workers:
            continue
        codec = codec_factory(door.protocol, believed, settings.forwarded_allow_ips)
        try:
            room.add(door, codec, Certificates(door.tls).current if door.tls else None)
        except ConfigError as error:
            # it was readable at the start, and others may do without
            log.error("%s: nobody is served there by this worker: %s", door.name, error)
    room.start()
    return room


def _connections() -> int:
    """How many there may be at a time. The usual limit of 1024 descriptors is for programs that select()."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST if hard == resource.RLIM_INFINITY else min(hard, _MOST)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return max(16, (_MOST if soft == resource.RLIM_INFINITY else min(soft, _MOST)) - _OTHERS)
