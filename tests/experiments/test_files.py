"""What programs read and write, and the line that says so."""

from types import SimpleNamespace

import numpy as np
import pytest

from experiments import encode, runs, sample
from experiments.support import console, files
from vae_jax import datasets

pd = pytest.importorskip("pandas", reason="pip install 'vae_jax[tables]'")


def test_masks_of_an_npz_are_holes(tmp_path):
    """Of one array and of fields. Mutants: the mask of another field, 1 for a missing value."""
    x, mask = np.arange(6.0).reshape(3, 2), np.array([[1, 0], [1, 1], [0, 1]])
    outline = datasets.from_arrays(np.arange(20.0).reshape(10, 2))
    np.savez(tmp_path / "x.npz", x=x, mask=mask, y=np.arange(3))
    given = files.read_given(outline, str(tmp_path / "x.npz"))
    np.testing.assert_array_equal(given.x, np.where(mask, x, np.nan))
    np.testing.assert_array_equal(given.y, np.arange(3))
    fields = datasets.from_arrays({"a": x.repeat(4, 0), "b": x.repeat(4, 0)})
    np.savez(tmp_path / "fields.npz", a=x, b=x, mask_b=mask)
    given = files.read_given(fields, str(tmp_path / "fields.npz"))
    np.testing.assert_array_equal(given.x["a"], x)
    np.testing.assert_array_equal(given.x["b"], np.where(mask, x, np.nan))


@pytest.mark.parametrize("end", ["csv", "parquet"])
def test_tables_hold_vectors_and_keep_the_index(tmp_path, capsys, end):
    """Mutants: images squeezed into columns, rows numbered anew, a line that hides what is lost."""
    path = str(tmp_path / f"z.{end}")
    arrays = {"elbo": np.arange(2.0), "mean": np.eye(2), "reconstruction": np.zeros((2, 4, 4, 3))}
    files.write_result(path, files.held_by(path, arrays), ["p", "q"])
    assert "left out, since only an npz holds more than a vector: reconstruct" in said(capsys)
    read = pd.read_parquet(path) if end == "parquet" else pd.read_csv(path, index_col=0)
    assert list(read.index) == ["p", "q"] and list(read) == ["elbo", "mean0", "mean1"]
    assert files.held_by("z.npz", arrays).keys() == arrays.keys()


@pytest.mark.parametrize(
    "mask", [np.ones((2, 2)), np.full((3, 2), 2), np.ones(()), np.ones((3, 1))]
)
def test_masks_that_do_not_fit_are_refused(tmp_path, mask):
    """In one line. Mutants: numpy's own words; a 2 that stands for an observed value."""
    np.savez(tmp_path / "x.npz", x=np.ones((3, 2)), mask=mask)
    outline = datasets.from_arrays(np.arange(20.0).reshape(10, 2))
    with pytest.raises(ValueError, match=r"the mask of 'x' in .*must have the shape .*\(3, 2\)"):
        files.read_given(outline, str(tmp_path / "x.npz"))


def said(capsys):
    return " ".join(capsys.readouterr().out.split())


def test_samples_of_a_table_are_its_columns():
    """In a CSV, with categories by their names. Mutants: means for draws, one-hot columns."""
    rows = pd.DataFrame({"age": [1.5, 2.5, 4.0, 3.0] * 5, "city": ["Ulm", "Bonn"] * 10})
    outline = datasets.from_arrays(rows, columns="age=real")
    run = SimpleNamespace(dataset=outline)
    each = {"real": np.array([[20.0], [30.0]]), "category": np.array([[0.9, 0.1], [0.0, 1.0]])}
    drawn = {f"mean_{name}": value + 1 for name, value in each.items()}
    drawn |= {f"x_{name}": value for name, value in each.items()} | {"z": np.zeros((2, 3))}
    columns = sample.in_columns(run, "s.csv", drawn)
    assert list(columns) == ["z", "mean_age", "mean_city", "age", "city"]
    assert list(columns["age"]) == [20, 30] and list(columns["city"]) == ["Bonn", "Ulm"]
    assert sample.in_columns(run, "s.npz", drawn).keys() == drawn.keys()


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("z.txt", "must end in .csv, .parquet, .npz"),
        ("there.npz", "exists: name another file, or say overwrite"),
        ("no/z.npz", "is no folder that can be written"),
    ],
)
def test_outputs_that_cannot_be_written_are_refused_at_once(tmp_path, output, message):
    """Before a model is loaded: there is none here. Mutants: a file that is replaced unasked, a
    refusal after an hour of computing."""
    (tmp_path / "there.npz").write_bytes(b"")
    with pytest.raises(ValueError, match=message):
        encode.encode_file("no-run", "x.npz", str(tmp_path / output), 0, 1)
    with pytest.raises(ValueError, match=message):
        sample.sample_to_file("no-run", str(tmp_path / output), 0, 1, 0)
    with pytest.raises(ValueError, match="holds no run"):
        encode.encode_file("no-run", "x.npz", str(tmp_path / "there.npz"), 0, 1, overwrite=True)


def test_a_picture_that_is_there_is_kept(tmp_path):
    """Mutant: the picture of other samples replaced, since its npz is a new one."""
    (tmp_path / "s.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"s\.png exists"):
        sample.sample_to_file("no-run", str(tmp_path / "s.npz"), 0, 1, 0)


def test_what_was_written_is_said_in_one_line(capsys):
    """However long: a pipe gets a path whole. Mutant: a line broken at 120 letters."""
    path = "x" * 200 + ".csv"
    console.say_written([path, "b.png"], "5 samples", files.how_to_read(path))
    expected = f'wrote {path}, b.png: 5 samples; next: pandas.read_csv("{path}")\n'
    assert capsys.readouterr().out == expected
    assert files.how_to_read("z.npz") == 'numpy.load("z.npz")'


def test_runs_say_what_to_do_next():
    """Mutants: a comparison with one that is not finished, a run that is done continued."""
    done, other = (runs.Row(name, "finished", 1, "-", {}) for name in "ab")
    stopped = runs.Row("c", "stopped", 1, "-", {})
    assert "--workdir=c goes on" in runs.next_step([stopped, done, other])
    assert runs.next_step([done, other]).endswith("experiments.compare a b")
    assert "evaluate --workdir=a" in runs.next_step([done])
