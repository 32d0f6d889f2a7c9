"""What measuring says, without measuring: which figures there are, and what becomes of the numbers."""

import pytest

from benchmarks.__main__ import BENCHES, main
from benchmarks.figures import Figure, percentile


def test_an_unknown_figure_is_refused_and_the_known_are_named(capsys):
    assert main(["engine.nothing"]) == 2

    said = capsys.readouterr()
    assert said.out == ""
    assert "There is no figure engine.nothing" in said.err
    assert "engine.five_steps" in said.err


def test_every_figure_has_one_bench():
    names = [name for figures in BENCHES.values() for name in figures]

    assert len(names) == len(set(names))


def test_a_figure_is_the_median_and_its_ratio_goes_round_by_round():
    figure = Figure("engine.five_steps", "runs/s", [400.0, 900.0, 500.0], [100.0, 100.0, 50.0])

    assert figure.as_data() == {"value": 500.0, "unit": "runs/s", "reference": 100.0, "ratio": 9.0, "runs": 3}


def test_two_rounds_are_no_figure():
    with pytest.raises(ValueError, match="3 are the least"):
        Figure("engine.five_steps", "runs/s", [400.0, 900.0]).as_data()


def test_a_percentile_is_a_value_that_was_measured():
    assert percentile([5.0, 1.0, 3.0], 0.5) == 3.0
    assert percentile([float(number) for number in range(100)], 0.99) == 99.0
