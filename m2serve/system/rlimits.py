"""Limits that the kernel keeps for each process, children included."""

from __future__ import annotations

import logging
import resource
from typing import TYPE_CHECKING

from m2serve.errors import ConfigError

if TYPE_CHECKING:
    from m2serve.config.settings import Settings

log = logging.getLogger("m2serve.system")

MIB = 1024 * 1024


def apply(settings: Settings) -> None:
    """Set what the options ask for; what only root could raise is raised as far as it goes.

    Raises: ConfigError: the kernel refused.
    """
    if settings.max_fd:
        _limit(resource.RLIMIT_NOFILE, settings.max_fd, "max-fd", settings.max_fd)
    if settings.limit_as:
        _limit(resource.RLIMIT_AS, settings.limit_as * MIB, "limit-as", settings.limit_as)


def _limit(which: int, value: int, option: str, asked: int) -> None:
    try:
        resource.setrlimit(which, (value, value))
        return
    except ValueError:
        pass  # more than the hard limit
    except OSError as error:
        raise ConfigError(f"{option} = {asked}: {error.strerror}") from error
    _, hard = resource.getrlimit(which)
    try:
        resource.setrlimit(which, (hard, hard))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{option} = {asked}: {error}") from error
    log.warning("%s = %d: only root can go beyond %d, which it is now", option, asked, hard)
