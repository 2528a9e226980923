# ruff: noqa: RUF009 - option() makes a dataclass field, it shares no default.
"""Options about numbers for Graphite."""

# Annotations are read at run time: no postponed evaluation in this directory.
from dataclasses import dataclass
from typing import Literal

from m2serve.config.option import compatible, option
from m2serve.endpoint import ListenAddress
from m2serve.ids import Seconds


@dataclass(frozen=True)
class CarbonGroup:
    """Graphite"""

    carbon: tuple[ListenAddress, ...] = option(
        (), "Send statistics to this server of Graphite's (carbon), over TCP, as lines of text.", metavar="HOST:PORT"
    )
    carbon_freq: Seconds = option(Seconds(60), "How often.", minimum=1)
    carbon_timeout: Seconds = option(Seconds(3), "How long that may take.", minimum=1)
    carbon_max_retry: int = option(1, "How often to try again when it has failed.")
    carbon_retry_delay: Seconds = option(Seconds(7), "How long to wait before that.", minimum=1)
    carbon_root: str = option("uwsgi", "The names of the numbers are ROOT.HOSTNAME.ID.NAME.", metavar="NAME")
    carbon_id: str | None = option(
        None, "The third part; by default the first address that is served, with _ for its dots.", metavar="NAME"
    )
    carbon_hostname_dots: str | None = option(
        None, "What stands for a dot of the host name, which by default are left.", metavar="CHARACTER"
    )
    carbon_no_workers: bool = option(False, "Send the sums only, and no numbers of each worker.")
    carbon_idle_avg: Literal["last", "zero", "none"] = option(
        "last", "What is sent as the mean time of requests while there are none: that of the last ones, 0, or nothing."
    )
    carbon_name_resolve: bool = compatible(
        True, "names of hosts are looked up when m2serve starts", names=("carbon-resolve-names",)
    )
