"""The transition tables."""

from __future__ import annotations

import logging

import pytest

from m2serve.master import child as children
from m2serve.master import generation as generations
from m2serve.master.child import Child, ChildKind, ChildState, IllegalMove
from m2serve.master.generation import Generation, GenerationState

PAIRS = [(one, other) for one in ChildState for other in ChildState]


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_a_move_is_in_the_table_or_raises(before, after):
    child = Child(ChildKind.WORKER, 1, "worker 1", state=before)
    if after in children.TRANSITIONS[before]:
        child.move(after, "why")
        assert child.state is after
    else:
        with pytest.raises(IllegalMove, match="worker 1"):
            child.move(after, "why")
        assert child.state is before


def test_every_state_has_a_row():
    assert set(children.TRANSITIONS) == set(ChildState)
    assert set(generations.TRANSITIONS) == set(GenerationState)


def test_no_state_leads_back_and_all_lead_to_death():
    order = list(ChildState)
    for before, afters in children.TRANSITIONS.items():
        assert all(order.index(after) > order.index(before) for after in afters)
        assert before is ChildState.DEAD or ChildState.DEAD in afters


def test_every_move_is_logged(caplog):
    caplog.set_level(logging.INFO)
    child = Child(ChildKind.WORKER, 1, "worker 3", state=ChildState.READY)
    child.move(ChildState.DRAINING, "reload")
    assert "worker 3 READY -> DRAINING (reload)" in caplog.text


def test_ready_is_remembered():
    child = Child(ChildKind.WORKER, 1, "worker 1", state=ChildState.STARTING)
    assert not child.was_ready
    child.move(ChildState.READY, "ready")
    child.move(ChildState.DEAD, "exit code 1")
    assert child.was_ready
    assert not child.alive


@pytest.mark.parametrize(("before", "after"), [(one, two) for one in GenerationState for two in GenerationState])
def test_generations_move_by_their_table(before, after):
    generation = Generation(1, 2, state=before)
    if after in generations.TRANSITIONS[before]:
        generation.move(after, "why")
    else:
        with pytest.raises(IllegalMove, match="generation 1"):
            generation.move(after, "why")
