"""uWSGI's internal routing: rules for requests before anything answers them, for answers that begin, for those over."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from m2serve.gateways.routing.actions import Actions
from m2serve.gateways.routing.call import Call, Verdict
from m2serve.gateways.routing.conditions import test_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from m2serve.config.routes import Rule
    from m2serve.config.settings import Settings
    from m2serve.gateways.answer import Answer
    from m2serve.gateways.base import Environ
    from m2serve.gateways.files.search import StaticFiles
    from m2serve.gateways.routing.actions import Step
    from m2serve.gateways.routing.conditions import Test


class _Compiled(NamedTuple):
    test: Test
    step: Step | None
    """None: a label."""
    label: str = ""


class Router:
    """The rules of one worker, compiled.

    Threads: any. What one request has set for the log is kept until its thread begins the next one.

    Args:
        base: where relative paths start.
        files: presents static files.
    """

    def __init__(self, settings: Settings, base: str, files: StaticFiles) -> None:
        actions = Actions(base, files, float(settings.socket_timeout))
        self._request = _compiled(settings.route, actions)
        final, errors = _compiled(settings.final_route, actions), _compiled(settings.error_route, actions)
        self._response = _compiled(settings.response_route, actions)
        self._unwanted = {name.lower() for name in settings.rem_header}
        self._unwanted |= {one.header.lower() for one in settings.pull_header}
        self._collected = [
            (one.header.lower(), one.variable) for one in (*settings.collect_header, *settings.pull_header)
        ]
        self._begun = self._answer if self._response or self._unwanted or self._collected else None
        self._over = partial(_run, final) if final else None
        self._errors = partial(_run, errors) if errors else None
        self._latest = threading.local()

    @classmethod
    def of(cls, settings: Settings, base: str, files: StaticFiles) -> Router | None:
        """None: there are no rules."""
        headers = settings.rem_header or settings.collect_header or settings.pull_header
        if headers or settings.route or settings.response_route or settings.error_route or settings.final_route:
            return cls(settings, base, files)
        return None

    def begin(self, environ: Environ, answer: Answer) -> Call:
        """Apply the rules for requests."""
        call = Call(environ, answer, self._begun, self._over, self._errors)
        self._latest.variables = call.variables
        _run(self._request, call)
        return call

    def _answer(self, call: Call, headers: list[tuple[str, str]]) -> None:
        """Apply the rules for answers, and before them what is wanted of all of their headers."""
        call.removed |= self._unwanted
        for wanted, variable in self._collected:
            for name, value in headers:
                if isinstance(name, str) and isinstance(value, str) and name.lower() == wanted:
                    call.set_variable(variable, value)
        _run(self._response, call)

    def logged(self, name: str) -> bytes | None:
        """What the calling thread's latest request has set for its line in the log."""
        value: str | None = getattr(self._latest, "variables", {}).get(name)
        return None if value is None else value.encode("latin-1", "replace")


def _compiled(rules: Iterable[Rule], actions: Actions) -> Sequence[_Compiled]:
    made = []
    for rule in rules:
        if rule.act is None:
            made.append(_Compiled(lambda call: None, None, rule.label))
        elif rule.act.done_here:
            made.append(_Compiled(test_of(rule), actions.step(rule.act.name, rule.act.argument)))
    return made


def _run(rules: Sequence[_Compiled], call: Call) -> bool:
    """One rule after the other, until one says that it is enough. Whether that one has answered."""
    goto = ""
    for test, step, label in rules:
        if step is None:
            goto = "" if label == goto else goto
            continue
        if goto or (groups := test(call)) is None:
            continue
        verdict = step(call, groups)
        if verdict is Verdict.GOTO:
            goto = call.goto
        elif verdict is not Verdict.NEXT:
            return verdict is Verdict.ANSWERED
    return False
