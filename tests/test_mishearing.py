"""What may have been said instead of what was heard, without a recogniser."""

from __future__ import annotations

from coach.mishearing import Change, filler_places, odds, rounds, worth_trying
from coach.terms import Candidate


def test_a_long_near_term_for_unsure_pieces_of_words_is_likeliest() -> None:
    term = Candidate(0, 2, "mode collapse", 0.1, 9, False)
    usual = odds(term, (0.5, 0.5))
    assert odds(Candidate(0, 2, "GAN", 0.1, 3, False), (0.5, 0.5)) < usual
    assert odds(Candidate(0, 2, "mode collapse", 0.2, 9, False), (0.5, 0.5)) < usual
    assert odds(Candidate(0, 2, "mode collapse", 0.1, 9, False, known=True), (0.5, 0.5)) < usual
    assert odds(term, (0.99, 0.99)) < usual
    assert odds(term, (0.5,)) < usual


def test_a_change_is_worth_less_the_more_it_costs() -> None:
    change = Change(0, 1, [7], 1.0)
    assert change.worth(0.0) == 1.0 > change.worth(2.0) > change.worth(10.0)
    assert change.worth(10.0) < 0


def test_changes_that_are_apart_are_tried_together() -> None:
    first, beside, far = Change(0, 2, [1], 1.0), Change(3, 4, [1], 1.0), Change(20, 21, [1, 2], 1.0)
    assert rounds([far, first, beside]) == [[first, far], [beside]]
    assert rounds([]) == []
    assert not first.apart_from(Change(1, 3, [1], 1.0))


def test_fillers_are_looked_for_only_in_short_words_that_stand_alone() -> None:
    texts = [" linear", ",", " dumb", ",", " it", " is", ",", " regularisation", ",", " um", "."]
    assert filler_places(texts) == [2]


def test_of_candidates_in_one_place_the_nearest_is_tried() -> None:
    near, far = Candidate(2, 4, "leaky ReLU", 0.0, 8, False), Candidate(2, 5, "leaky ReLU", 0.2, 8, False)
    elsewhere, strange = Candidate(7, 9, "leaky ReLU", 0.1, 8, False), Candidate(0, 1, "ResNet", 0.25, 5, False)
    assert worth_trying([far, near, elsewhere, strange], lambda term: term == "leaky ReLU") == [near, elsewhere]
    assert worth_trying([strange], lambda term: True) == [strange]
    assert worth_trying([], lambda term: True) == []
