"""Values of uWSGI's internal routing: ``route = ^/old/(.*) redirect-permanent:/new/$1`` and all that belong to it.

A rule is a subject, what it has to look like, and an action. The names of the options say the subject and the moment,
so a value is read together with its name, and rules of all names keep their common order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

from m2serve.config.addresses import SocketAddress
from m2serve.config.static_values import Pattern
from m2serve.config.values import HeaderLine
from m2serve.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

SUBJECTS: Final[Mapping[str, str]] = {
    "": "PATH_INFO",
    "-host": "HTTP_HOST",
    "-uri": "REQUEST_URI",
    "-qs": "QUERY_STRING",
    "-remote-addr": "REMOTE_ADDR",
    "-user-agent": "HTTP_USER_AGENT",
    "-remote-user": "REMOTE_USER",
    "-referer": "HTTP_REFERER",
}
"""By the end of an option's name, the variable its regular expression is for."""
STATUS: Final = "-status"
"""The end that is about the answer's status; there is one when the answer begins."""
_OTHERS: Final = ("-if", "-if-not", "-run", "-label")

CONDITIONS: Final[Mapping[str, int]] = {
    "exists": 1,
    "isfile": 1,
    "isdir": 1,
    "isexec": 1,
    "islink": 1,
    "empty": 1,
    "equal": 2,
    "startswith": 2,
    "endswith": 2,
    "contains": 2,
    "regexp": 2,
    "ishigher": 2,
    "ishigherequal": 2,
    "islower": 2,
    "islowerequal": 2,
    "ipv4in": 2,
    "ipv6in": 2,
}
"""Those of ``route-if``, each with the number of texts it compares, separated by ``;``."""

_STEERING: Final = {"continue": "", "last": "", "goto": "LABEL"}
_NOTING: Final = {"log": "TEXT", "donotlog": "", "logvar": "NAME=VALUE", "addvar": "NAME=VALUE"}
_HEADERS: Final = {"addheader": "NAME: VALUE", "remheader": "NAME", "delheader": "NAME"}
REQUEST_ACTIONS: Final[Mapping[str, str]] = {
    **_STEERING,
    **_NOTING,
    **_HEADERS,
    "break": "STATUS",
    "return": "STATUS",
    "break-with-status": "STATUS",
    "redirect": "URL",
    "redirect-302": "URL",
    "redirect-301": "URL",
    "redirect-permanent": "URL",
    "rewrite": "PATH",
    "rewrite-last": "PATH",
    "static": "FILE",
    "http": "ADDRESS or ADDRESS,HOST",
    "basicauth": "REALM,USER:PASSWORD or REALM,FILE",
    "basicauth-next": "REALM,USER:PASSWORD or REALM,FILE",
    "setpathinfo": "PATH",
    "setscriptname": "PATH",
    "setmethod": "METHOD",
    "seturi": "URI",
    "setremoteaddr": "ADDRESS",
    "setuser": "NAME",
}
"""What may be done with a request, each with what follows its colon."""
RESPONSE_ACTIONS: Final[Mapping[str, str]] = {**_STEERING, **_NOTING, **_HEADERS}
"""The same when its answer begins."""
FINAL_ACTIONS: Final[Mapping[str, str]] = {**_STEERING, **_NOTING}
"""The same when it is over."""

ERROR_ACTIONS: Final[Mapping[str, str]] = {
    **RESPONSE_ACTIONS,
    "break": "STATUS",
    "return": "STATUS",
    "break-with-status": "STATUS",
    "redirect": "URL",
    "redirect-302": "URL",
    "redirect-301": "URL",
    "redirect-permanent": "URL",
    "static": "FILE",
}
"""The same, with what gives another answer in its place."""

_MAY_BE_EMPTY: Final = frozenset({"break", "continue", "last", "donotlog", "setscriptname", "log"})
_EXPECTED_STATUS: Final = "expected a status, for instance 403 Forbidden"


class Act(NamedTuple):
    """What a rule does."""

    name: str
    argument: str
    done_here: bool = True
    """m2serve has this action; else the rule does nothing."""


@dataclass(frozen=True)
class Rule:
    """One of them.

    Args:
        key: the option's name, ``text`` what is behind it.
        subject: the variable that *pattern* is for; empty where there is no pattern.
        condition: name of the condition of ``route-if``, whose texts are in ``operands``.
        act: None of a label.
    """

    key: str
    text: str
    subject: str = ""
    pattern: Pattern | None = None
    condition: str = ""
    operands: tuple[str, ...] = ()
    negated: bool = False
    act: Act | None = None
    label: str = ""

    actions: ClassVar[Mapping[str, str]] = {}
    """Those that such a rule may have."""

    @classmethod
    def parse_as(cls, key: str, text: str) -> Rule:
        """Read a value of the option *key*.

        Raises: ConfigError: with what was expected.
        """
        text = text.strip()
        if "\0" in text:
            raise ConfigError("expected no NUL")
        moment = "route" if key.startswith("route") else key[: key.index("route") + len("route")]
        ending = key.removeprefix(moment)
        if ending == "-label":
            if not text or " " in text:
                raise ConfigError("expected one word")
            return cls(key, text, label=text)
        if ending == "-run":
            return cls(key, text, act=_action(text, cls.actions))
        first, _, rest = text.partition(" ")
        if not rest.strip():
            wanted = "CONDITION" if ending.startswith("-if") else "REGEXP"
            raise ConfigError(f"expected {wanted} ACTION:ARGUMENT, for instance {_example(ending)}")
        act = _action(rest.strip(), cls.actions)
        if ending in ("-if", "-if-not"):
            condition, operands = _condition(first)
            return cls(key, text, condition=condition, operands=operands, negated=ending == "-if-not", act=act)
        subject = "status" if ending == STATUS else SUBJECTS[ending]
        return cls(key, text, subject, Pattern.parse(first), act=act)

    def __str__(self) -> str:
        return self.text


class RequestRule(Rule):
    """A rule for requests, before anything answers them."""

    actions = REQUEST_ACTIONS


class ResponseRule(Rule):
    """A rule for answers that begin."""

    actions = RESPONSE_ACTIONS


class ErrorRule(Rule):
    """A rule for answers that begin, which may give another one."""

    actions = ERROR_ACTIONS


class FinalRule(Rule):
    """A rule for requests that are over."""

    actions = FINAL_ACTIONS


def aliases(moment: str, *, status: bool = False) -> tuple[str, ...]:
    """The names of the options of one moment, but for the shortest."""
    ends = [end for end in SUBJECTS if end] + ([STATUS] if status else [])
    return tuple(f"{moment}{end}" for end in (*ends, *_OTHERS))


def lost(rules: Sequence[Rule]) -> Iterable[str]:
    """What a ``goto`` looks for and cannot find. It looks further down only, so that nothing goes in circles."""
    for number, rule in enumerate(rules):
        act = rule.act
        if act is not None and act.name == "goto" and all(act.argument != later.label for later in rules[number:]):
            yield act.argument


def _example(ending: str) -> str:
    if ending.startswith("-if"):
        return "equal:${REMOTE_ADDR};10.0.0.1 break:403 Forbidden"
    return "^/old/(.*) redirect-permanent:/new/$1"


def _action(text: str, actions: Mapping[str, str]) -> Act:
    name, colon, argument = text.partition(":")
    name, argument = name.strip(), argument.strip()
    if re.fullmatch(r"[a-z0-9-]+", name) is None or not (colon or name in actions):
        raise ConfigError(f"expected ACTION:ARGUMENT, with an action of {', '.join(actions)}")
    if name not in actions:
        return Act(name, argument, done_here=False)
    if not argument and name not in _MAY_BE_EMPTY:
        raise ConfigError(f"expected {name}:{actions[name]}")
    _look_at(name, argument, actions[name])
    return Act(name, argument)


def _look_at(name: str, argument: str, expected: str) -> None:
    if expected == "STATUS" and argument and re.fullmatch(r"[1-5][0-9][0-9]( .*)?", argument) is None:
        raise ConfigError(_EXPECTED_STATUS)
    if expected == "STATUS" and argument[:1] == "1":
        raise ConfigError(f"{_EXPECTED_STATUS}; 1xx is no answer")
    if expected == "NAME=VALUE" and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*=.*", argument, re.DOTALL) is None:
        raise ConfigError(f"expected {name}:{expected}")
    if name == "addvar" and argument.startswith(("wsgi.", "m2serve.", "mongrel2.")):
        raise ConfigError("expected the name of a variable that is not the server's own")
    if name == "addheader":
        HeaderLine.parse(argument)
    if name == "http":
        proxied(argument)
    if name.startswith("basicauth") and not argument.partition(",")[2].strip():
        raise ConfigError(f"expected {name}:{expected}")


def proxied(argument: str) -> tuple[SocketAddress, str]:
    """Of ``http:``, where the other server listens, and the host that it is asked for; empty: the client's.

    Raises: ConfigError: with what was expected.
    """
    text, _, host = (part.strip() for part in argument.partition(","))
    if "$" in argument:
        raise ConfigError("expected an address that no request can choose: without $")
    address = SocketAddress.parse(text)
    if address.fd >= 0 or address.shared >= 0 or not (address.path or address.port):
        raise ConfigError("expected HOST:PORT or the path of a socket")
    if re.search(r"\s", host):
        raise ConfigError("expected a host behind the comma")
    return address, host


def _condition(text: str) -> tuple[str, tuple[str, ...]]:
    name, colon, rest = text.partition(":")
    if not colon or name not in CONDITIONS:
        raise ConfigError(f"{name!r}: expected a condition: {', '.join(CONDITIONS)}")
    operands = tuple(rest.split(";", 1)) if CONDITIONS[name] == 2 else (rest,)
    if len(operands) != CONDITIONS[name]:
        raise ConfigError(f"expected {name}:TEXT;TEXT")
    if name == "regexp":
        Pattern.parse(operands[1])
    return name, operands
