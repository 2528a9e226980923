"""Options about what becomes of requests before the application sees them."""

# Annotations are read at run time: no postponed evaluation in this directory.
from dataclasses import dataclass

from m2serve.config.option import option
from m2serve.config.routes import ErrorRule, FinalRule, RequestRule, ResponseRule, aliases


@dataclass(frozen=True)
class RoutingGroup:
    """Internal routing (docs/routing.md)"""

    route: tuple[RequestRule, ...] = option(
        (),
        "Do this with requests whose path matches. The other names are for other variables of the request; -if has a "
        "condition, -run neither, and -label is a place for goto.",
        names=aliases("route"),
        metavar="[REGEXP ]ACTION:ARGUMENT",
    )
    response_route: tuple[ResponseRule, ...] = option(
        (),
        "The same when the answer begins, with actions about headers and the log.",
        names=aliases("response-route", status=True),
        metavar="[REGEXP ]ACTION:ARGUMENT",
    )
    error_route: tuple[ErrorRule, ...] = option(
        (),
        "The same before that, for any answer, also with actions that give another answer in its place; most have "
        "-status.",
        names=aliases("error-route", status=True),
        metavar="[REGEXP ]ACTION:ARGUMENT",
    )
    final_route: tuple[FinalRule, ...] = option(
        (),
        "The same when the answer is over, with actions about the log.",
        names=aliases("final-route", status=True),
        metavar="[REGEXP ]ACTION:ARGUMENT",
    )
