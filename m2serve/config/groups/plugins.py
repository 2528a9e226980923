"""Options about plugins, and those of uWSGI's that plugins of ours obey."""

# Annotations are read at run time: no postponed evaluation in this directory.
from dataclasses import dataclass

from m2serve.config.option import option


@dataclass(frozen=True)
class PluginGroup:
    """Plugins"""

    plugin: tuple[str, ...] = option(
        (),
        "Load these plugins (docs/plugins.md), separated by commas: from a plugin-dir, of those that come with m2serve "
        "(statsd, prometheus, cpu_affinity), of those that are installed, or modules. uWSGI's own are passed over.",
        names=("plugins", "need-plugin", "need-plugins"),
        metavar="NAME",
    )
    plugin_dir: tuple[str, ...] = option(
        (), "Look for plugins here first: NAME.py, or a package NAME.", names=("plugins-dir",), metavar="DIR"
    )
    stats_push: tuple[str, ...] = option(
        (),
        "Send statistics there; loads the plugin statsd.",
        names=("stats-pusher",),
        metavar="statsd:HOST:PORT[,PREFIX]",
    )
    stats_pusher_default_freq: int = option(3, "Seconds between two of these.", metavar="SECONDS", minimum=1)
    cpu_affinity: int = option(
        0,
        "Processors for each worker: worker 1 gets the first N that the master may use, worker 2 the next N, and so "
        "round; 0: all. Loads the plugin cpu_affinity.",
    )
