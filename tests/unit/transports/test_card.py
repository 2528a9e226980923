"""A worker's card."""

from __future__ import annotations

import os

import pytest

from m2serve.transports import card as cards
from m2serve.transports.card import ANSWER_ROOM, CELL, MAX_SENDER, Card, card_size, create_card


@pytest.fixture(params=[1, 3, 64])
def fd(request):
    fd = create_card(request.param)
    yield fd, request.param
    os.close(fd)


def test_a_new_card_is_zero_all_over(fd):
    card = Card(*fd)
    assert os.fstat(fd[0]).st_size == card_size(fd[1])
    assert not os.get_inheritable(fd[0])
    assert not any(card.words)
    card.close()


def test_words_are_seen_through_another_mapping(fd):
    worker, dispatcher = Card(*fd), Card(*fd)
    for slot in range(fd[1]):
        dispatcher.write(slot, 1, 2, 3, 4, 5, 6, 1)
        dispatcher.mails[slot] = slot + 100
        assert worker.read(slot) == (cards.HANDED, 1, 2, 3, 4, 5, 6, 1, 0, cards.PLAIN)
        worker.put_answer(slot, slot + 100, b"answer")
    assert worker.mails.tolist() == list(range(100, 100 + fd[1]))
    assert dispatcher.heads.tolist() == 2 * worker.mails.tolist()
    worker.close()
    dispatcher.close()


def test_nothing_overlaps(fd):
    card = Card(*fd)
    threads = fd[1]
    for slot in range(threads):
        mark = slot + 1
        card.write(slot, *([mark] * 8))
        card.set_sender(slot, bytes([mark]) * MAX_SENDER)
        card.set_uuid(slot, bytes([mark]) * 16)
        card.put_answer(slot, mark, bytes([mark]) * ANSWER_ROOM)
        card.mails[slot] = mark + 1000
    card.awake[0] = (1 << 64) - 1
    for slot in range(threads):
        mark = slot + 1
        assert card.read(slot) == (cards.HANDED, *([mark] * 7), ANSWER_ROOM, mark)
        assert card.sender(slot) == bytes([mark]) * MAX_SENDER
        assert card.uuid(slot) == bytes([mark]) * 16
        assert card.answer(slot) == bytes([mark]) * ANSWER_ROOM
        assert (card.mails[slot], card.answered[slot]) == (mark + 1000, mark)
    assert card.awake[0] == (1 << 64) - 1
    card.close()


def test_the_largest_numbers_fit():
    fd = create_card(1)
    card = Card(fd, 1)
    most = (1 << 64) - 1
    card.write(0, most, most, most, most, 10**18, most, most, most)
    assert card.read(0)[1:] == (most, most, most, most, 10**18, most, most, 0, most)
    card.answered[0] = 5 | cards.SENDING
    assert card.answered[0] & ~cards.SENDING == 5
    card.close()
    os.close(fd)


def test_a_sender_is_inside_its_cell():
    assert cards._SENDER + 1 + MAX_SENDER <= CELL
    assert cards.ANSWER_SIZE * 8 + 8 <= cards._UUID
    assert cards._UUID + 16 <= cards._SENDER


def test_senders_of_all_sizes():
    fd = create_card(1)
    card = Card(fd, 1)
    for size in (MAX_SENDER, 0, 1, 36):
        card.set_sender(0, b"s" * size)
        assert card.sender(0) == b"s" * size
    card.close()
    os.close(fd)


def test_a_wiped_slot_tells_of_nothing():
    fd = create_card(2)
    card = Card(fd, 2)
    for slot in range(2):
        card.write(slot, *range(7))
        card.mails[slot] = 9
    card.wipe(0)
    assert (card.read(0)[0], card.mails[0]) == (cards.IDLE, 0)
    assert (card.read(1)[0], card.mails[1]) == (cards.HANDED, 9)
    card.close()
    os.close(fd)


def test_answers_start_on_a_page():
    fd = create_card(5)
    card = Card(fd, 5)
    assert card._answers % ANSWER_ROOM == 0
    assert card.base(4) * 8 + CELL <= card._answers
    card.close()
    os.close(fd)
