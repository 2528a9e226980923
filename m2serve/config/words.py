"""The keys that act while a configuration is read and leave no setting behind."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

SET = frozenset({"set"})
SET_PLACEHOLDER = frozenset({"set-placeholder", "set-ph"})
INHERIT = "inherit"
PRINT = frozenset({"print", "iprint"})
EXIT = "exit"
ELSE = "else"
LOOPS = frozenset({"for", "for-glob", "for-times", "for-readline"})
CONDITIONS = frozenset(
    f"if-{negation}{what}"
    for what in ("env", "opt", "file", "dir", "directory", "exists", "plugin", "hostname", "hostname-match", "reload")
    for negation in ("", "not-")
)
OLD_CONDITIONS = MappingProxyType(
    {"ifenv": "if-env", "ifexists": "if-exists", "ifdir": "if-dir", "ifplugin": "if-plugin"}
)
CLOSERS = frozenset({"endfor", "end-for", "endif", "end-if", "end"})

FORMAT_OF_KEY: Mapping[str, str] = MappingProxyType(
    {
        "ini": "ini",
        "yaml": "yaml",
        "yml": "yaml",
        "json": "json",
        "js": "json",
        "toml": "toml",
        "config": "",
        "include": "",
    }
)
"""Keys that read another file at once, with the format they ask for; empty: the file's ending says it."""

INI_PASTE = frozenset({"ini-paste", "ini-paste-logged"})
"""Options that besides read their file as ``ini`` does."""

FORMAT_OF_ENDING: Mapping[str, str] = MappingProxyType(
    {"ini": "ini", "yaml": "yaml", "yml": "yaml", "json": "json", "js": "json", "toml": "toml"}
)


@dataclass(frozen=True)
class Word:
    """``metavar`` is empty for a word that takes no value; ``shell`` says whether it may be an argument,
    ``file`` whether it may stand in a file."""

    metavar: str
    doc: str
    shell: bool = True
    file: bool = True


_FILE = "FILE[:SECTION]"

GRAMMAR: Mapping[str, Word] = MappingProxyType(
    {
        "ini": Word(_FILE, "Read this file here; on the command line the same as naming it."),
        "include": Word(_FILE, "The same; the file's ending says its format."),
        "config": Word(_FILE, "The same as include."),
        "inherit": Word(_FILE, "Read this file after all others: its values replace theirs."),
        "yaml": Word(_FILE, "Read a YAML file here."),
        "yml": Word(_FILE, "The same as yaml."),
        "json": Word(_FILE, "Read a JSON file here."),
        "js": Word(_FILE, "The same as json."),
        "toml": Word(_FILE, "Read a TOML file here."),
        "set": Word("KEY=VALUE", "Set an option, or define a name for %(name)."),
        "set-placeholder": Word("NAME=VALUE", "Define a name for %(name), which is no option."),
        "set-ph": Word("NAME=VALUE", "The same as set-placeholder."),
        "declare-option": Word(
            "NAME=KEY=VALUE;...",
            "Make an option that stands for others, with $1, $2 ... for the words of its value. What they say counts "
            "before all that is said elsewhere.",
        ),
        "declare-option2": Word("NAME=KEY=VALUE;...", "The same; what they say counts where the option stands."),
        "print": Word("TEXT", "Write a line to the log at the start."),
        "iprint": Word("TEXT", "The same as print."),
        "exit": Word("", "Refuse to start; for the inside of a block.", shell=False),
        "for": Word("WORDS", "Take the lines up to endfor once for each word, which is %(_) there.", shell=False),
        "for-glob": Word("PATTERN", "The same for each file that matches.", shell=False),
        "for-times": Word("N", "The same for the numbers from 1 to N.", shell=False),
        "for-readline": Word("FILE", "The same for each line of a file.", shell=False),
        "if-env": Word("NAME[=VALUE]", "Take the lines up to endif if this environment variable is set.", shell=False),
        "if-opt": Word("KEY[=VALUE]", "The same if this key was set further up.", shell=False),
        "if-file": Word("FILE", "The same if this is a file.", shell=False),
        "if-dir": Word("DIR", "The same if this is a directory; also if-directory.", shell=False),
        "if-exists": Word("PATH", "The same if this path exists.", shell=False),
        "if-plugin": Word("NAME", "The same for a plugin of uWSGI's whose work m2serve does.", shell=False),
        "if-hostname": Word("NAME", "The same if the machine is called so.", shell=False),
        "if-hostname-match": Word("REGEX", "The same if the machine's name matches.", shell=False),
        "if-reload": Word("", "Never true: a reload does not read the configuration again.", shell=False),
        "else": Word("", "Take the lines up to endif if those before it were left out.", shell=False),
        "endfor": Word("", "End of a block; also end-for, endif, end-if, end.", shell=False),
        "allow-exec": Word("", "Let configuration files run programs with exec://.", file=False),
        "stop": Word("PIDFILE", "Stop the server whose pid is in that file, as INT does; start none.", file=False),
        "reload": Word("PIDFILE", "Reload the server whose pid is in that file, as HUP does; start none.", file=False),
        "upgrade": Word(
            "PIDFILE", "Upgrade the server whose pid is in that file, as USR2 does; start none.", file=False
        ),
        "pause": Word(
            "PIDFILE", "Pause the server whose pid is in that file, or let it go on, as TSTP does.", file=False
        ),
        "suspend": Word("PIDFILE", "The same as pause.", file=False),
        "resume": Word("PIDFILE", "The same as pause.", file=False),
        "doctor": Word("", "Say what of Mongrel2 and of the settings will hurt; start nothing.", file=False),
        "check": Word("", "Print every setting with its origin and what was ignored; start nothing.", file=False),
    }
)
"""For the manuals: every word but spellings that uWSGI keeps for old files, and the ``-not-`` forms."""

ORDERS = frozenset({"stop", "reload", "upgrade", "pause", "suspend", "resume"})
"""Those that are for a server that runs."""

LETTERS: Mapping[str, str] = MappingProxyType({"y": "yaml", "j": "json", "S": "set"})
"""Short spellings, for the command line."""
