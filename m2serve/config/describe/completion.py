"""Completion for bash."""

from __future__ import annotations

from m2serve.config.table import FOREIGN, OPTIONS, metavar
from m2serve.config.words import GRAMMAR

_SCRIPT = """\
# Generated: python -m m2serve.config.describe bash > docs/m2serve.bash
# Completion for m2serve; read it from ~/.bashrc, or put it into /usr/share/bash-completion/completions/m2serve
_m2serve() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}}
    COMPREPLY=()
    case $before in
{cases}
    esac
    case $word in
        -*) COMPREPLY=($(compgen -W "{flags}" -- "$word")) ;;
        *) COMPREPLY=($(compgen -f -X '!*.@(ini|yaml|yml|json|toml)' -- "$word") $(compgen -d -- "$word")) ;;
    esac
}}
shopt -s extglob
complete -o filenames -F _m2serve m2serve
"""


def completion() -> str:
    """The script: every name that may follow two dashes, and what may follow those."""
    names = [name for option in OPTIONS for name in (option.name, *option.aliases)]
    names += [name for name, word in GRAMMAR.items() if word.shell]
    names += [name for row in FOREIGN if not row.family for name in row.names]
    names = list(dict.fromkeys(names))
    kinds: dict[str, list[str]] = {}
    for name in names:
        kinds.setdefault(_values(metavar(name) or ""), []).append(f"--{name}")
    for option in OPTIONS:
        kinds[_values(option.metavar)] += [f"-{letter}" for letter in option.short]
    cases = [f"        {'|'.join(flags)}) {values}return ;;" for values, flags in kinds.items() if values and flags]
    flags = " ".join(f"--{name}" for name in (*names, "help", "version"))
    return _SCRIPT.format(cases="\n".join(cases), flags=flags)


def _values(metavar: str) -> str:
    """What bash does after an option with such a value; empty for a flag."""
    if not metavar:
        return ""
    if metavar == "DIR":
        return 'COMPREPLY=($(compgen -d -- "$word")); '
    if metavar.startswith(("FILE", "PROGRAM", "PATH", "LOG")):
        return 'COMPREPLY=($(compgen -f -- "$word")); '
    if "|" in metavar:
        return f'COMPREPLY=($(compgen -W "{metavar.replace("|", " ")}" -- "$word")); '
    return ": ; "
