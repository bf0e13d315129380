"""impute and score: files in and out, and how good the numbers are."""

import jax
import numpy as np
import pytest

from experiments import impute, score
import vae_jax
from vae_jax import datasets

pd = pytest.importorskip("pandas", reason="pip install 'vae_jax[tables]'")


@pytest.fixture(scope="module")
def table():
    """A table of four columns with holes, whose rows have names."""
    generator = np.random.default_rng(0)
    age = generator.normal(50, 10, 60)
    frame = pd.DataFrame(
        {
            "age": age,
            "income": np.exp(age / 20 + generator.normal(0, 0.1, 60)),
            "smoker": generator.integers(0, 2, 60).astype(float),
            "city": generator.choice(["Ulm", "Bonn", "Kiel"], 60),
        },
        index=[f"p{i}" for i in range(60)],
    )
    frame.iloc[::7, 0] = np.nan
    frame.iloc[3::9, 3] = None
    return frame


@pytest.fixture(scope="module")
def model_file(table, tmp_path_factory):
    """A model of the table as it starts."""
    data = datasets.from_arrays(table)
    vae = vae_jax.make_vae_for(data, latent_dim=2, hidden=(5,))
    params = jax.jit(vae.init)(vae_jax.key(0), vae_jax.expected_examples(data, data.train))
    path = tmp_path_factory.mktemp("model") / "model.vae"
    outline = datasets.from_outline(datasets.outline_of(data))
    vae_jax.save_model(vae_jax.Model(vae, params, outline), path)
    return str(path)


def test_imputed_files(table, model_file, tmp_path):
    """CSV and draws: cells that were there keep every digit, rows their names. Mutants: observed
    cells from float32, rows in another order, means in the place of draws."""
    source, output = str(tmp_path / "x.csv"), str(tmp_path / "full.csv")
    table.to_csv(source)
    impute.impute_file(model_file, source, output, 0, 20, 0, False)
    full = pd.read_csv(output, index_col=0)
    assert list(full.index) == list(table.index) and not full.isna().any(axis=None)
    observed = table.notna()
    for name in table:
        assert (full[name] == table[name])[observed[name]].all()
    with pytest.raises(ValueError, match=r"full.csv exists: .*--overwrite"):
        impute.impute_file(model_file, source, output, 0, 20, 0, False)
    drawn = str(tmp_path / "draws.parquet")
    impute.impute_file(model_file, source, drawn, 0, 20, 3, False)
    draws = pd.read_parquet(drawn)
    assert len(draws) == 180 and list(draws["draw"][::60]) == [0, 1, 2]
    of_one = draws[draws["row"] == "p0"]["age"]
    assert (
        of_one.nunique() == 3 and (draws[draws["row"] == "p1"]["age"] == table["age"]["p1"]).all()
    )


def test_score_files(table, model_file, tmp_path, capsys):
    """The most surprising row comes first, by its name; contributions are 0 of a missing cell, and
    in sum more than log p(x) by a KL. Mutants: the order of the input, a place for a name."""
    strange = table.copy()
    strange.loc["p5", "income"] = 1e9
    source, output = str(tmp_path / "x.parquet"), str(tmp_path / "scores.csv")
    strange.to_parquet(source)
    score.score_file(model_file, source, output, 0, 50, False)
    scores = pd.read_csv(output, index_col="row")
    assert scores.index[0] == "p5" and sorted(scores.index) == sorted(table.index)
    assert "the most surprising is row p5" in " ".join(capsys.readouterr().out.split())
    assert scores["log_likelihood"].is_monotonic_increasing
    columns = [f"log p({name}|z)" for name in table]
    missing = table["age"].isna().reindex(scores.index)
    assert (scores[columns[0]][missing] == 0).all() and (scores[columns[0]][~missing] != 0).all()
    kl = scores[columns].sum(axis=1) - scores["log_likelihood"]
    assert (kl > -4 * scores["standard_error"] - 1e-3).all() and kl.max() > 0.5


def test_an_output_of_no_known_format_is_refused(model_file, tmp_path):
    with pytest.raises(ValueError, match=r"x.txt must end in .csv, .parquet, .npz"):
        score.score_file(model_file, "x.csv", str(tmp_path / "x.txt"), 0, 1, False)


@pytest.fixture(scope="module")
def hidden():
    """scikit-learn's breast cancer table, standardized, and which fifth of its cells is hidden."""
    from sklearn.datasets import load_breast_cancer

    x = load_breast_cancer().data
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    return x, np.random.default_rng(0).random(x.shape) < 0.2


@pytest.mark.slow
def test_imputation_is_as_good_as_regression_on_all_other_columns(hidden):
    """Root mean squared error of the hidden cells: at most 1.05 of scikit-learn's IterativeImputer,
    and far below that of the columns' means."""
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer

    x, is_hidden = hidden
    holes = pd.DataFrame(np.where(is_hidden, np.nan, x), columns=[f"c{i}" for i in range(30)])
    # All rows are trained on, as the other does; copies stand in for the two other parts.
    rows = pd.concat([holes, holes[:57], holes[57:114]], ignore_index=True)
    split = ["train"] * len(holes) + ["validation"] * 57 + ["test"] * 57
    data = datasets.from_arrays(rows, split=split)
    vae = vae_jax.make_vae_for(data, latent_dim=15, hidden=(128,))
    fitted = vae_jax.fit(vae, data, num_epochs=1000, silent=True)

    def error(filled):
        return np.sqrt(np.mean((np.asarray(filled) - x)[is_hidden] ** 2))

    ours = error(fitted.model.impute(holes, 1000))
    other = error(IterativeImputer(max_iter=20, random_state=0).fit_transform(holes.to_numpy()))
    print(f"RMSE {ours:.3f}, IterativeImputer {other:.3f}, column means {error(0 * x):.3f}")
    assert ours < 1.05 * other
    assert ours < 0.6 * error(0 * x)


@pytest.mark.slow
def test_scores_tell_shuffled_rows_from_real_ones(hidden):
    """Test rows against rows whose cells each come from another test row: area under the curve."""
    from sklearn.metrics import roc_auc_score

    frame = pd.DataFrame(hidden[0], columns=[f"c{i}" for i in range(30)])
    data = datasets.from_arrays(frame)
    vae = vae_jax.make_vae_for(data, latent_dim=10, hidden=(128,))
    fitted = vae_jax.fit(vae, data, num_epochs=400, silent=True)
    real = datasets.to_user(data, jax_values(data.test.x))
    generator = np.random.default_rng(1)
    shuffled = real.apply(lambda column: generator.permutation(column.to_numpy()))
    scores = [fitted.model.score(each, 200)["log_likelihood"] for each in (real, shuffled)]
    area = roc_auc_score([1] * len(real) + [0] * len(real), np.concatenate(scores))
    print(f"area under the curve {area:.4f}")
    assert area > 0.97


def jax_values(x):
    """Fields as the model sees them, which for standardized ones is as they are stored."""
    return {name: np.asarray(each.values) for name, each in x.items()}
