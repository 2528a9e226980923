"""PINGs on their way."""

from __future__ import annotations

from m2serve.transports.pings import Pings


def test_a_pong_answers_its_own_and_all_before():
    pings, called = Pings(), []
    contexts = [pings.add(lambda n=n: called.append(n)) for n in range(4)]
    assert len(set(contexts)) == 4
    pings.pong(contexts[1])
    assert called == [0, 1]
    pings.pong(contexts[1])
    assert called == [0, 1]
    pings.pong(contexts[3])
    assert called == [0, 1, 2, 3]


def test_nothing_asked_before_forget_is_answered():
    pings, called = Pings(), []
    old = pings.add(lambda: called.append("old"))
    pings.forget()
    pings.pong(old)
    new = pings.add(lambda: called.append("new"))
    pings.pong(old)
    assert called == []
    pings.pong(new)
    assert called == ["new"]


def test_who_asks_again_when_answered_waits_for_the_next():
    pings, called = Pings(), []

    def again():
        called.append(1)
        contexts.append(pings.add(lambda: called.append(2)))

    contexts = [pings.add(again)]
    pings.pong(contexts[0])
    assert called == [1]
    pings.pong(contexts[1])
    assert called == [1, 2]


def test_foreign_pongs_are_ignored():
    pings, called = Pings(), []
    pings.add(lambda: called.append(1))
    pings.pong(b"")
    assert called == []
