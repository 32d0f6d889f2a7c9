"""Filters over the fields of events: typed, and neither yes nor no where a field cannot be read."""

import pytest

from workflows.triggers.filters import check, hold, in_words


def one(field, kind, operator, value=None):
    condition = {"field": field, "type": kind, "operator": operator}
    return condition if value is None else {**condition, "value": value}


@pytest.mark.parametrize(
    ("condition", "data", "expected"),
    [
        (one("amount", "number", "above", 100), {"amount": "100.01"}, True),
        (one("amount", "number", "above", 100), {"amount": "100.00"}, False),
        (one("amount", "number", "at_least", "100"), {"amount": 100}, True),
        (one("amount", "number", "below", 100), {"amount": 99}, True),
        (one("amount", "number", "equals", 10), {"amount": "10.0"}, True),
        # "10" is above 9 as a number, whatever texts do.
        (one("amount", "number", "above", 9), {"amount": "10"}, True),
        (one("channel", "text", "equals", "phone"), {"channel": "phone"}, True),
        (one("channel", "text", "one_of", ["phone", "mail"]), {"channel": "shop"}, False),
        (one("urgent", "flag", "is_true"), {"urgent": True}, True),
        (one("urgent", "flag", "is_false"), {"urgent": True}, False),
        # What cannot be read is no “no”.
        (one("amount", "number", "above", 100), {}, None),
        (one("amount", "number", "above", 100), {"amount": None}, None),
        (one("amount", "number", "above", 100), {"amount": "NaN"}, None),
        (one("amount", "number", "above", 100), {"amount": "many"}, None),
        (one("amount", "number", "above", 100), {"amount": True}, None),
        (one("amount", "number", "above", 100), {"amount": [200]}, None),
        (one("channel", "text", "equals", "1"), {"channel": 1}, None),
        (one("urgent", "flag", "is_true"), {"urgent": "true"}, None),
    ],
)
def test_a_condition_holds_or_not_or_cannot_be_told(condition, data, expected):
    assert check([condition]) == []
    assert hold([condition], data) is expected


def test_one_that_fails_decides_and_one_that_cannot_be_told_does_not():
    yes, no = one("a", "number", "above", 1), one("b", "number", "above", 1)

    assert hold([], {}) is True
    assert hold([yes, no], {"a": 2, "b": 0}) is False
    assert hold([yes, no], {"b": 0}) is False
    assert hold([yes, no], {"a": 2}) is None


@pytest.mark.parametrize(
    ("conditions", "says"),
    [
        ("amount > 5", "a list of conditions"),
        ([one("a", "number", "above", 1)] * 51, "at most 50"),
        (["amount > 5"], "A condition is"),
        ([{**one("a", "number", "above", 1), "then": "x"}], "A condition is"),
        ([one("", "number", "above", 1)], "names a field"),
        ([one("a", "float", "above", 1)], "not as “float”"),
        ([one("a", "text", "above", "b")], "does not fit a text"),
        ([one("a", "number", "above", "9**9**9")], "is no value"),
        ([one("a", "number", "above")], "is no value"),
        ([one("a", "text", "one_of", "phone")], "is no value"),
        ([one("a", "flag", "is_true", True)], "takes no value"),
    ],
)
def test_what_could_not_be_asked_is_refused(conditions, says):
    assert says in check(conditions)[0]


def test_a_filter_is_read_back():
    conditions = [one("amount", "number", "above", 100), one("channel", "text", "one_of", ["phone", "mail"])]

    assert in_words(conditions) == "amount is above 100 and channel is one of phone, mail"
