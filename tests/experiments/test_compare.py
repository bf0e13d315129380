"""Runs side by side: a table, curves and a CSV."""

import csv
import json

import numpy as np
import pytest

from experiments import compare
from experiments.support import run_folder


@pytest.fixture(scope="module")
def rows(trained):
    """The row of a run of two seeds, and of the same with other numbers and another config."""
    [row] = compare.read_run(trained[0])
    other = row | {"config": row["config"] | {"objective.beta": 7.0}, "run": "other"}
    return [row, other | {"numbers": row["numbers"] | {"elbo": (-1.25, 0.5)}}]


def test_numbers_are_those_of_the_summary(trained, rows):
    """The mean over two seeds and its standard error. Mutant: one seed's number."""
    summary = json.loads((trained[0] / "summary.json").read_text())
    [point] = summary["elbo"]["points"].values()
    assert rows[0]["numbers"]["elbo"] == (point["mean"], point["standard_error"])
    assert rows[0]["numbers"]["test_examples"] == (summary["test_examples"], None)


def test_only_fields_that_differ_are_columns(rows, capsys):
    assert compare.differing(rows) == ["objective.beta"]
    compare.show(rows)
    printed = capsys.readouterr().out
    assert "objective.beta" in printed and "-1.25 +- 0.50" in printed
    assert "not comparable" not in printed
    compare.show([rows[0], rows[1] | {"protocol": "mnist, binarization static; K = 5"}])
    assert "not comparable: the protocols differ" in capsys.readouterr().out


def test_csv_has_every_number(rows, tmp_path):
    run_folder.write_csv(tmp_path / "x.csv", compare.lines_of(rows))
    lines = list(csv.DictReader((tmp_path / "x.csv").read_text().splitlines()))
    assert [float(line["objective.beta"]) for line in lines][1] == 7
    for line, row in zip(lines, rows, strict=True):
        for name, (mean, error) in row["numbers"].items():
            assert float(line[name]) == mean
            assert error is None or float(line[f"{name}_standard_error"]) == error


def test_curves_of_runs_of_different_lengths(trained):
    """By hand: within a run's steps its own values, after its end none. Mutants: curves cut to the
    shortest, a line that goes on after its end."""
    values = np.array([[1.0], [3.0]])
    joined = compare.at_steps(values, np.array([10, 30]), np.array([5, 10, 20, 30, 40]))
    np.testing.assert_array_equal(joined[:, 0], [np.nan, 1, 2, 3, np.nan])
    curves, groups = compare.join_curves([trained[0], trained[0]])
    own = run_folder.read_curves(trained[0] / "metrics.jsonl")["train"]
    np.testing.assert_array_equal(curves["train"]["elbo"][:, 2:], own["elbo"])
    assert len(groups) == 4


def test_a_folder_that_is_no_finished_run_is_refused(trained, tmp_path):
    """In one line, with what to do. Mutant: a traceback on the missing file."""
    with pytest.raises(ValueError, match="holds no run"):
        compare.read_run(tmp_path)
    content = (trained[0] / "config.json").read_text()
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match="train it to its end"):
        compare.read_run(tmp_path)
