"""What can be seen to be wrong with a Mongrel2's settings and directories before it is used."""

from __future__ import annotations

import difflib
import logging
import os
from typing import TYPE_CHECKING

from m2serve.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from m2serve.config.settings import Settings
    from m2serve.front import Front

_KEYS = tuple(
    """
    certdir control_port disable.access_logging download.flow_control
    limits.buffer_size limits.client_read_retries limits.connection_stack_size limits.content_length
    limits.dir_max_path limits.dir_send_buffer limits.fdtask_stack limits.handler_stack limits.handler_targets
    limits.header_count limits.host_name limits.kill_limit limits.mime_ext_len limits.min_ping limits.min_read_rate
    limits.min_write_rate limits.proxy_read_retries limits.proxy_read_retry_warn limits.tick_timer limits.url_path
    net.tcp_keepalive no_clobber_xff request.relaxed server.daemonize
    ssl.ca_chain ssl.verify_optional ssl.verify_required superpoll.hot_dividend superpoll.max_fd
    upload.stream upload.temp_store upload.temp_store_mode zeromq.threads
    """.split()
)
"""The settings of Mongrel2 1.12; others it reads without a word."""

log = logging.getLogger("m2serve.mongrel2")


def examine(settings: Settings, known: Sequence[Front]) -> None:
    """Log what will fail some requests.

    Raises: ConfigError: it would fail all, or a directory that an option names is not the right one.
    """
    for text in _unheard(settings):
        log.warning("%s: mongrel2-setting: %s", settings.origin("mongrel2_setting"), text)
    for front in known:
        _check_topology(settings, front)
        for text in (*_sizes(settings, front), *_directories(settings, front)):
            log.warning("mongrel2 at %s: %s", front.pair.send, text)


def _unheard(settings: Settings) -> Iterator[str]:
    for setting in settings.mongrel2_setting:
        if setting.key not in _KEYS:
            guess = difflib.get_close_matches(setting.key, _KEYS, n=1, cutoff=0.7)
            hint = f"; did you mean {guess[0]}?" if guess else ""
            yield f"{setting}: no setting that Mongrel2 is known to have{hint}"


def _check_topology(settings: Settings, front: Front) -> None:
    if settings.zeromq_direct and front.flow_control:
        # Mongrel2 deals the notices that an answer waits for to any thread.
        raise ConfigError(
            f"{settings.origin('zeromq_direct')}: zeromq-direct: Mongrel2 at {front.pair.send} has"
            " download.flow_control=1, which only the dispatcher can serve: expected download.flow_control=0 there, or"
            " no zeromq-direct"
        )


def _sizes(settings: Settings, front: Front) -> Iterator[str]:
    largest = settings.request_buffer // 2
    if front.content_length >= largest:
        yield (
            f"limits.content_length is {front.content_length}, but a request of more than {largest} bytes is refused:"
            f" expected a smaller limit, or a request-buffer of more than {2 * front.content_length} bytes"
        )


def _directories(settings: Settings, front: Front) -> Iterator[str]:
    wrong = "set mongrel2-chroot to where the / of that Mongrel2 lies"
    if not os.path.isdir(front.chroot):
        yield f"its chroot {front.chroot} does not exist here: {wrong}"
        return
    if not os.access(front.chroot, os.X_OK):
        yield f"its chroot {front.chroot} is not open to user {os.geteuid()}: uploads cannot be read"
        return
    if front.stream or front.temp_store is None:
        return
    tried = [os.path.dirname(path) for path in front.paths(front.temp_store)]
    found = next((path for path in tried if os.path.isdir(path)), None)
    if found is None:
        text = f"upload.temp_store is {front.temp_store}, but there is no directory {' nor '.join(tried)}"
        if any(front.chroot == option.directory for option in settings.mongrel2_chroot):
            expected = "expected the directory that is / for that Mongrel2"
            raise ConfigError(f"{settings.origin('mongrel2_chroot')}: mongrel2-chroot: {text}: {expected}")
        yield f"{text}: uploads will fail; {wrong}, or mongrel2-setting upload.temp_store"
    elif not os.access(found, os.W_OK | os.X_OK):
        yield f"uploads in {found} cannot be removed by user {os.geteuid()}: expected write permission there"
