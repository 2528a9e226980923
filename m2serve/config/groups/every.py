"""All groups, in the order of ``--help`` and the manuals."""

from dataclasses import dataclass

from m2serve.config.groups.alarms import AlarmsGroup
from m2serve.config.groups.app import AppGroup
from m2serve.config.groups.caches import CachesGroup
from m2serve.config.groups.carbon import CarbonGroup
from m2serve.config.groups.cheaper import CheaperGroup
from m2serve.config.groups.emperor import EmperorGroup
from m2serve.config.groups.hooks import HooksGroup
from m2serve.config.groups.logging import LogGroup
from m2serve.config.groups.master import MasterGroup
from m2serve.config.groups.mongrel2 import Mongrel2Group
from m2serve.config.groups.plugins import PluginGroup
from m2serve.config.groups.privileges import PrivilegesGroup
from m2serve.config.groups.process import ProcessGroup
from m2serve.config.groups.programs import ProgramsGroup
from m2serve.config.groups.routing import RoutingGroup
from m2serve.config.groups.sockets import SocketsGroup
from m2serve.config.groups.static import StaticGroup
from m2serve.config.groups.stats import StatsGroup


@dataclass(frozen=True)
class EveryGroup(
    AppGroup,
    RoutingGroup,
    StaticGroup,
    SocketsGroup,
    Mongrel2Group,
    ProcessGroup,
    CheaperGroup,
    PrivilegesGroup,
    MasterGroup,
    ProgramsGroup,
    CachesGroup,
    StatsGroup,
    CarbonGroup,
    EmperorGroup,
    PluginGroup,
    HooksGroup,
    LogGroup,
    AlarmsGroup,
):
    """Every option as an attribute."""
