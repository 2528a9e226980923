"""Options about the master process"""

# Annotations are read at run time: no postponed evaluation in this directory.
from dataclasses import dataclass

from m2serve.config.option import compatible, option


@dataclass(frozen=True)
class MasterGroup:
    """The master"""

    pidfile: str | None = option(
        None,
        "File for the master's pid, written before anything is started, removed at exit.",
        names=("pidfile2",),
        metavar="FILE",
    )
    safe_pidfile: str | None = option(
        None,
        "The same, written when all workers have been ready for the first time.",
        names=("safe-pidfile2",),
        metavar="FILE",
    )
    die_on_term: bool = compatible(True, "TERM always stops the server")
    exit_on_reload: bool = option(False, "Stop with exit code 0, gracefully, where a reload is asked for.")
    no_orphans: bool = compatible(True, "every process ends with its master")
