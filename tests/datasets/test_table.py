"""Tables of mixed columns: kinds, fields, files, and what is refused."""

import datetime
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from vae_jax import datasets, models

pandas = pytest.importorskip("pandas", reason="of the extra `tables`")

COUNT = 60
RNG = np.random.default_rng(0)
TABLE = {
    "age": RNG.normal(40, 10, COUNT),
    "income": np.exp(RNG.normal(10, 1, COUNT)),
    "smoker": RNG.integers(0, 2, COUNT) == 1,
    "visits": RNG.poisson(3, COUNT),
    "city": RNG.choice(["Bonn", "Rome", "York"], COUNT),
    "floor": RNG.integers(0, 2, COUNT),
}
KINDS = {"age": "real", "income": "positive", "smoker": "bit", "visits": "count", "floor": "bit"}
HOLES = {"age": 1, "income": 2, "smoker": 3, "visits": 4, "city": 5, "floor": 6}


def frame(holes=False, **columns):
    """Return the table as a DataFrame, with a missing cell in each column or none."""
    made = pandas.DataFrame(TABLE | columns)
    if not holes:
        return made
    made = made.astype(object)
    for name, row in HOLES.items():
        made.loc[row, name] = None
    return made


def kinds_of(data):
    return {column.name: column.kind for column in data.columns}


def parts_of(data):
    return data.train, data.validation, data.test


def outline_of(data):
    """Return the outline, as a folder keeps it."""
    return datasets.from_outline(json.loads(json.dumps(datasets.outline_of(data))))


@pytest.fixture(scope="module")
def data():
    return datasets.from_arrays(frame(holes=True))


def test_kinds_are_inferred(data):
    """Mutants: a category of 0 and 1, counts of any integers, positive of any skewed column."""
    kinds = {column.name: column.kind for column in data.columns}
    assert kinds == KINDS | {"city": "category"}
    said = "floor=category,visits=real,age=drop"
    kinds = {
        column.name: column.kind for column in datasets.from_arrays(frame(), columns=said).columns
    }
    assert (kinds["floor"], kinds["visits"], kinds["age"]) == ("category", "real", "drop")
    large = frame(visits=TABLE["visits"] * 1000, age=TABLE["age"] - 40)
    kinds = kinds_of(datasets.from_arrays(large))
    assert kinds["visits"] in ("real", "positive") and kinds["age"] == "real"


def test_rows_come_back_from_what_the_model_sees(data):
    """Cells that are missing stay so. Mutants: columns of a kind in another order, a logarithm that
    is not undone, statistics of all rows, a hole as the first category."""
    given = frame(holes=True)
    outline = outline_of(data)
    assert outline.columns == data.columns and outline.values == data.values
    assert outline.masked == data.masked
    seen = datasets.to_model_examples(
        data, jax.random.key(0), datasets.examples_from(outline, given)
    )
    again = datasets.to_user(outline, seen.x)
    assert list(again.columns) == list(given.columns)
    for name in given:
        np.testing.assert_array_equal(again[name].isna(), given[name].isna())
        kept = given[name].notna()
        if name == "city":
            assert list(again[name][kept]) == list(given[name][kept])
        else:
            np.testing.assert_allclose(
                again[name][kept].astype(float), given[name][kept].astype(float), 1e-4, 1e-4
            )


def test_standardization_is_that_of_the_training_rows():
    """Oracle: numpy over the rows that a column `split` calls train, without a missing one.

    Mutants: statistics of all rows, of the stored zeros of missing cells too.
    """
    split = np.repeat(["train", "validation", "test"], 20)
    ages = TABLE["age"].copy()
    ages[3] = np.nan
    data = datasets.from_arrays(frame(split=split, age=ages))
    assert [datasets.num_examples(part) for part in (data.train, data.validation, data.test)] == [
        20
    ] * 3
    assert "split" not in [column.name for column in data.columns]
    units = data.values["real"].units
    np.testing.assert_allclose(units.location, np.nanmean(ages[:20]))
    np.testing.assert_allclose(units.scale, np.nanstd(ages[:20]))
    logs = np.log(TABLE["income"])
    units = data.values["positive"].units
    np.testing.assert_allclose([*units.location, *units.scale], [logs[:20].mean(), logs[:20].std()])
    expected = (logs - logs[:20].mean()) / logs[:20].std()
    np.testing.assert_allclose(data.test.x["positive"].values[:, 0], expected[40:], 1e-4, 1e-5)


def test_the_density_is_that_of_the_cells_as_they_are_given(data):
    """log p(x|z) of a row with holes. Oracle: scipy's densities of the cells of the row in their
    own units. Mutants: no Jacobian, a missing cell that counts, one sigma for all columns."""
    vae = models.make_vae_for(data, latent_dim=2, hidden=(4,))
    given = frame(holes=True).head(8)
    examples = datasets.examples_from(data, given)

    @jax.jit
    def densities(examples):
        seen = datasets.to_model_examples(data, jax.random.key(0), examples)
        params = jax.tree.map(lambda leaf: leaf + 0.1, vae.init(jax.random.key(0), seen))
        p = vae.decode(params, jnp.ones(2))
        means = {name: each.mean for name, each in p.fields.items()}
        return params, jax.vmap(p.log_prob)(seen.x), means

    params, ours, means = densities(examples)
    real, positive = (data.values[name].units for name in ("real", "positive"))
    own = {name: each["own"] for name, each in params["likelihood"].items()}
    sigma = {
        name: 0.01 + np.log1p(np.exp(np.float64(own[name]["scale"])))[0]
        for name in ("real", "positive")
    }
    mean = {name: np.float64(each) for name, each in means.items()}
    location = real.location[0] + real.scale[0] * mean["real"]
    log_location = positive.location[0] + positive.scale[0] * mean["positive"]
    total = np.exp(np.float64(own["count"]["log_total"]))
    bits = dict(zip(("smoker", "floor"), mean["bit"], strict=True))
    cities = dict(zip(("Bonn", "Rome", "York"), mean["category"], strict=True))
    densities_of = {
        "age": lambda x: stats.norm.logpdf(x, location, sigma["real"] * real.scale[0]),
        "income": lambda x: stats.lognorm.logpdf(
            x, sigma["positive"] * positive.scale[0], scale=np.exp(log_location)
        ),
        "visits": lambda x: stats.nbinom.logpmf(x, total, total / (total + mean["count"])),
        "smoker": lambda x: stats.bernoulli.logpmf(x, bits["smoker"]),
        "floor": lambda x: stats.bernoulli.logpmf(x, bits["floor"]),
        "city": lambda x: np.log(cities[x]),
    }
    for row in range(8):
        cells = given.loc[row]
        expected = sum(
            float(np.squeeze(density(cells[name])))
            for name, density in densities_of.items()
            if cells[name] is not None
        )
        np.testing.assert_allclose(ours[row], expected, 1e-4)


ROWS = [f"{i + 0.5},{'' if i == 3 else 'xy'[i % 2]},{i}" for i in range(9)]
FILES = {
    "csv": ["a,b,c", *ROWS],
    "semicolons": [row.replace(",", ";") for row in ("a,b,c", *ROWS)],
    "index": [",a,b,c", *(f"{i},{row}" for i, row in enumerate(ROWS))],
}


@pytest.mark.parametrize("name", FILES)
def test_csv_files_are_read(name, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("\n".join(FILES[name]) + "\n")
    data = datasets.load_dataset("table", path=str(path))
    kinds = [(column.name, column.kind) for column in data.columns]
    assert [name for name, _ in kinds] == ["a", "b", "c"]
    assert kinds[1] == ("b", "category") and kinds[2] == ("c", "count")
    assert sum(np.sum(part.x["category"].mask) for part in parts_of(data)) == 2 * 8


def test_parquet_is_what_a_csv_is(tmp_path):
    pytest.importorskip("pyarrow", reason="of the extra `tables`")
    frame().to_parquet(tmp_path / "x.parquet")
    frame().to_csv(tmp_path / "x.csv", index=False)
    a, b = (
        datasets.load_dataset("table", path=str(tmp_path / f"x.{kind}"))
        for kind in ("parquet", "csv")
    )
    assert a.columns == b.columns
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-6), a.train.x, b.train.x)


BAD = {
    "one value": (
        {"age": np.ones(COUNT)},
        "column 'age' has only one value, 1.0: leave out",
    ),
    "all missing": ({"age": np.full(COUNT, np.nan)}, "'age' has no value: all 60 are missing"),
    "mixed": ({"age": ["x", *range(59)]}, "'age' mixes numbers and text, such as 0 and 'x'"),
    "dates": ({"age": ["2020-01-02", "2020-01-03"] * 30}, "'age' holds dates such as '2020-01-02'"),
    "times": ({"age": np.arange(60).astype("M8[D]")}, "'age' holds dates such as datetime.date"),
    "days": ({"age": [datetime.date(2020, 1, 1 + i % 3) for i in range(60)]}, "'age' holds dates"),
    "infinite": ({"age": [np.inf, *np.arange(59.5, 0, -1)][:60]}, "'age' has infinite values"),
    "categories": ({"age": [f"c{i}" for i in range(60)]}, None),
}


@pytest.mark.parametrize("case", BAD)
def test_columns_that_no_model_can_use_are_refused(case):
    columns, message = BAD[case]
    if message is None:
        assert datasets.from_arrays(frame(**columns)).values["category"].classes == (60, 3)
        return
    with pytest.raises(ValueError, match=message) as caught:
        datasets.from_arrays(frame(**columns))
    assert "\n" not in str(caught.value) and 'columns="age=drop"' in str(caught.value)
    assert datasets.from_arrays(frame(**columns), columns="age=drop")


@pytest.mark.slow
def test_a_hundred_thousand_categories_are_refused():
    names = {"id": [f"c{i}" for i in range(10**5)], "x": np.linspace(-1, 1, 10**5)}
    with pytest.raises(ValueError, match="'id' has 100,000 different values, more than 1,000"):
        datasets.from_arrays(pandas.DataFrame(names))


def test_a_column_that_is_constant_in_the_training_rows_is_refused():
    split = np.repeat(["train", "validation", "test"], 20)
    with pytest.raises(ValueError, match="'age' has fewer than two values in the training rows"):
        datasets.from_arrays(frame(split=split, age=np.repeat([-1.5, 2.5], [20, 40])))


BAD_FILES = {
    "twice": ("a,b,a\n1,2,3\n", "columns have one name: 'a'"),
    "no header": (
        "5.1,3.5,setosa\n4.9,3.0,setosa\n",
        "first line must name the columns, but is '5.1",
    ),
    "numbers": ("5,3,1\n4,3,2\n", "its first line must name the columns"),
    "ragged": ("a,b\n1,2\n1,2,3\n", "cannot read .* as a table: "),
    "empty": ("", "cannot read .* as a table: "),
    "only a header": ("a,b\n", "has no value: all 0 are missing"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_files_that_are_no_tables_are_refused(case, tmp_path):
    content, message = BAD_FILES[case]
    path = tmp_path / "x.csv"
    path.write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        datasets.load_dataset("table", path=str(path))
    assert "\n" not in str(caught.value)


def test_wrong_names_of_files_and_kinds_are_refused(tmp_path):
    messages = {
        "x.csv": "there is no such file",
        "x.npz": "must end in .csv, .tsv, .parquet",
        "sklearn://wines": "sklearn://wines is unknown; known: breast_cancer",
        "": "needs path=FILE.csv",
    }
    for path, message in messages.items():
        with pytest.raises(ValueError, match=message):
            datasets.load_dataset("table", path=path)
    with pytest.raises(ValueError, match=r"use data.name=table"):
        datasets.load_dataset("npz", path="x.csv")
    for columns, message in {
        "height=real": "columns: the column='height' is unknown",
        "age=number": "columns: the kind of 'age'='number' is unknown",
        "age": "must name each once",
        "age=real,age=bit": "must name each once",
        "city=count": "'city' holds 'Bonn', which is no number",
        "income=bit": "'income' has 60 different values, more than 2",
        "visits=positive": "'visits' has values down to 0",
        ",".join(f"{name}=drop" for name in TABLE): "has no column",
    }.items():
        with pytest.raises(ValueError, match=message):
            datasets.from_arrays(frame(), columns=columns)


WHOLE = frame()
OTHERS = {
    "lacks": (WHOLE.drop(columns=["age", "city"]), "it lacks 'age', 'city'"),
    "more": (WHOLE.assign(height=1), "it has 'height', which they have not"),
    "renamed": (WHOLE.rename(columns={"age": "Age"}), "it lacks 'age' and has 'Age'"),
    "category": (WHOLE.assign(city="Paris"), "a category never seen, 'Paris'; known: 'B"),
    "text": (WHOLE.assign(age="old"), "'age' holds 'old', which is no number"),
    "bit": (WHOLE.assign(floor=2), "'floor' has values other than 0 and 1"),
    "positive": (WHOLE.assign(income=0.0), "'income' has values down to 0"),
    "count": (WHOLE.assign(visits=0.5), "'visits' has values that are no integers"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_rows_of_another_table_are_refused(case, data):
    table, message = OTHERS[case]
    with pytest.raises(ValueError, match=message) as caught:
        datasets.examples_from(outline_of(data), table, name="x.csv")
    assert "\n" not in str(caught.value) and "x.csv" in str(caught.value)


def test_rows_without_pandas(data):
    """A dictionary of lists is a table, too, of any order of the columns."""
    table = {name: list(cells) for name, cells in reversed(TABLE.items())}
    ours = datasets.examples_from(outline_of(data), table)
    expected = datasets.examples_from(outline_of(data), frame())
    jax.tree.map(np.testing.assert_array_equal, ours, expected)
