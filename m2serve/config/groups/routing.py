"""Options about what becomes of requests before the application sees them."""

# Annotations are read at run time: no postponed evaluation in this directory.
from dataclasses import dataclass

from m2serve.config.option import option
from m2serve.config.routes import FinalRule, RequestRule, ResponseRule, aliases


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
    final_route: tuple[FinalRule, ...] = option(
        (),
        "The same when the answer is over, with actions about the log.",
        names=aliases("final-route", status=True),
        metavar="[REGEXP ]ACTION:ARGUMENT",
    )
