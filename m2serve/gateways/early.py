"""The answer to a request whose body has not all come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from m2serve.gateways.answer import Answer

if TYPE_CHECKING:
    from m2serve.gateways.base import Body, Channel
    from m2serve.gateways.outflow import Means
    from m2serve.gateways.terms import Terms
    from m2serve.wire.head import HeadWriter


class EarlyAnswer(Answer):
    """As Answer, but the connection is kept only if all of the body has come when the head leaves.

    What the client still sends would else be read as its next request, or would have to be read for nothing.
    """

    __slots__ = ("_body",)

    def __init__(
        self, channel: Channel, terms: Terms, stamp: bytes, writer: HeadWriter, means: Means, body: Body
    ) -> None:
        # not plain: there is no head that could be the same as a moment ago
        super().__init__(channel, terms._replace(plain=False), stamp, writer, means)
        self._body = body

    def _commit(self, size: int | None) -> bytes:
        if not self._body.complete:
            self.keep = False
        return super()._commit(size)
