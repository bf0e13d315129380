"""What a config resolves to: names alone, defaults of rows, options that no row takes."""

import importlib
import json
import re

import ml_collections
import pytest

from configs import default
from experiments.support import options
from experiments.support.options import resolve
from tests.support.programs import ROOT, train, with_fields
from vae_jax.lookup import options_of
from vae_jax.models import LIKELIHOODS, LikelihoodRow
from vae_jax.objectives import OBJECTIVES
from vae_jax.tables import TABLES

CONFIGS = sorted(path.stem for path in (ROOT / "configs").glob("*.py") if path.stem != "__init__")


def from_file(name):
    """Return what a config file says."""
    return importlib.import_module(f"configs.{name}").get_config()


def typed(config, **fields):
    """Return (config, fields) as the command line hands them to `resolve`."""
    return with_fields(config, **fields), [field.replace("__", ".") for field in fields]


ROWS = [
    (block, field, name)
    for block, tables in TABLES.items()
    for field, table in tables.items()
    for name in table
]


@pytest.mark.parametrize(("block", "field", "name"), ROWS)
def test_a_name_alone_is_enough(block, field, name):
    """Every row of every table, typed on top of configs/default.py, gets its own defaults and no
    option of the row that it replaces. Mutants: an option of the default row kept, None left."""
    config, fields = typed(default.get_config(), **{f"{block}__{field}": name})
    resolved, notes = resolve(config, fields)
    assert notes == []
    row = TABLES[block][field][name]
    for option, value in options_of(row).items():
        assert resolved[block][option] == value
    chosen = [
        TABLES[block][each][resolved[block][each]]
        for each in TABLES[block]
        if resolved[block][each]
    ]
    known = {option for each in chosen for option in options_of(each)}
    every = {
        o for table in TABLES[block].values() for row in table.values() for o in options_of(row)
    }
    assert known == every & set(resolved[block])
    # The warm-up is a part of the run, whose length the data decide.
    unset = [each for each, value in resolved[block].items() if value is None]
    assert set(unset) <= {"warmup_steps"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"objective__temperature": 0.5}, "temperature=0.5 is an option of name=concrete only"),
        (
            {"objective__name": "iwae", "objective__beta": 2.0},
            "option of name=elbo, name=free_bits",
        ),
        ({"vae__flow_layers": 3}, "flow_layers=3 is an option of posterior="),
        ({"vae__num_classes": 3}, "is an option of posterior=categorical"),
        ({"optimizer__momentum": 0.5}, "is an option of name=sgd only; chosen: name='adam'"),
        ({"optimizer__boundaries": (5,)}, "is an option of schedule=piecewise only"),
        (
            {"data__path": "x.npz"},
            "is an option of name=images, name=npz, name=table only; chosen: name='digits'",
        ),
    ],
)
def test_a_typed_option_that_no_chosen_row_takes_is_refused(fields, message):
    """In one line that names the rows that take it, and the chosen ones."""
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        resolve(*typed(default.get_config(), **fields))
    block = next(iter(fields)).split("__")[0]
    assert str(caught.value).startswith(f"config.{block}: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("config", "fields", "option"),
    [
        ("beta", {"objective__name": "iwae"}, "objective: beta="),
        ("concrete", {"objective__name": "elbo"}, "objective: temperature_decay="),
        ("vampprior", {"vae__prior": "standard_normal"}, "vae: num_components="),
        (
            "two_layers",
            {"vae__prior": "standard_normal", "vae__posterior": "gaussian"},
            "upper_dim",
        ),
    ],
)
def test_an_option_of_the_file_falls_away_with_the_files_row(config, fields, option):
    """It is left out, and a note says so; what was not typed is as the file says.

    Mutants: refused, or dropped in silence."""
    resolved, notes = resolve(*typed(from_file(config), **fields))
    assert notes and all(note.startswith("note: config.") for note in notes)
    assert any(option in note for note in notes) and all("\n" not in note for note in notes)
    name = re.search(r"(\w+)=?$", option).group(1)
    assert all(name not in resolved[field.split("__")[0]] for field in fields)
    assert resolved.training == from_file(config).training


def test_a_typed_option_is_refused_even_where_another_row_was_typed():
    """Only what the file set may fall away."""
    config, fields = typed(from_file("beta"), objective__name="iwae", objective__beta=3.0)
    with pytest.raises(ValueError, match=r"beta=3\.0 is an option of"):
        resolve(config, fields)


def test_a_name_typed_in_another_block_excuses_nothing():
    """Mutant: any typed row lets any option fall away."""
    config = with_fields(default.get_config(), objective__temperature=0.5)
    config, fields = typed(config, vae__posterior="coupling")
    with pytest.raises(ValueError, match="name=concrete only"):
        resolve(config, fields)


def test_a_config_file_that_sets_an_option_in_vain_is_refused():
    """Its author is told, whatever else is typed."""
    config = with_fields(default.get_config(), optimizer__momentum=0.5)
    for fields in ([], ["training.num_epochs"], ["optimizer.learning_rate"]):
        with pytest.raises(ValueError, match=r"config\.optimizer: momentum=0\.5 is an option of"):
            resolve(config, fields)


def test_a_likelihoods_option_waits_for_the_data():
    """Where the data set is to choose the likelihood, an option of any likelihood may stand, until
    it has chosen (`with_likelihood`)."""
    config = with_fields(default.get_config(), vae__likelihood_scale=0.5)
    resolved, _ = resolve(config, ["vae.likelihood_scale"])
    assert resolved.vae.likelihood == "" and resolved.vae.likelihood_scale == 0.5


def test_a_likelihood_of_each_field():
    """Options of any of them are taken, and others refused."""
    config, fields = typed(
        default.get_config(),
        vae__likelihood="a=bernoulli,b=gaussian",
        vae__likelihood_scale=0.5,
    )
    resolved, _ = resolve(config, fields)
    assert resolved.vae.likelihood_scale == 0.5 and "likelihood_floor" not in resolved.vae
    config.vae.likelihood_floor = 0.1
    with pytest.raises(ValueError, match=r"likelihood_floor=0\.1 is an option of"):
        resolve(config, [*fields, "vae.likelihood_floor"])


@pytest.mark.parametrize("config", CONFIGS)
def test_resolving_again_changes_nothing(config):
    """Of every config of the repository, each of which resolves without a note."""
    resolved, notes = resolve(from_file(config))
    again, notes_again = resolve(resolved)
    assert notes == notes_again == []
    assert again.to_dict() == resolved.to_dict()


@pytest.mark.slow
def test_by_the_commands(tmp_path):
    """Two names alone, one of which lets beta of the file fall away: the note is printed, and
    config.json holds what the run resolved to."""
    done = train(
        tmp_path / "run",
        "--config.objective.name=iwae",
        "--config.vae.posterior=full_gaussian",
        "--config.vae.hidden=(4,)",
        "--config.training.num_epochs=1",
        "--config.optimizer.warmup_steps=0",
        "--config.evaluation.num_samples=2",
    )
    assert done.returncode == 0, done.stderr
    printed = " ".join(done.stdout.split())
    assert re.search(
        r"note: config\.objective: beta=\S+ is an option of .*; it is left out", printed
    )
    saved = json.loads((tmp_path / "run" / "config.json").read_text())
    assert saved["layout"] == 4
    config = saved["config"]
    assert config["objective"] == {"name": "iwae"} | options_of(OBJECTIVES["iwae"])
    assert (config["vae"]["activation"], config["vae"]["likelihood"]) == ("tanh", "binomial")
    assert "flow_layers" not in config["vae"]
    done = train(tmp_path / "bad", "--config.objective.name=iwae", "--config.objective.beta=2.0")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "error: config.objective: beta=2.0 is an option of name=elbo, name=free_bits" in (
        done.stderr
    )
    assert not (tmp_path / "bad").exists()


def make_own(num_levels, *, shift: float = 0.5):
    """Bits with shifted logits."""
    return LIKELIHOODS["bernoulli"].make(num_levels)


def test_a_row_of_ones_own_is_given_as_a_value():
    """Resolved with its option, described by its name, and found again in the config that defines
    it. Mutants: the row's default over what the config sets; another row under the same field."""
    config = default.get_config()
    with config.ignore_type():
        config.vae.likelihood = LikelihoodRow("bits", make_own)
    config.vae.shift = 0.25
    resolved, _ = options.resolve(config)
    assert resolved.vae.shift == 0.25 and resolved.vae.likelihood.make is make_own
    described = options.with_names(resolved.to_dict())
    assert described["vae"]["likelihood"] == "own row make_own"
    json.dumps(described)
    found = options.with_rows(ml_collections.ConfigDict(described), config)
    assert found.to_dict() == resolved.to_dict()
    for given in (None, default.get_config()):
        with pytest.raises(ValueError, match=r"row of its own, make_own: --config=FILE"):
            options.with_rows(ml_collections.ConfigDict(described), given)
    with config.ignore_type():
        config.vae.network = 3
    with pytest.raises(ValueError, match=r"network must be a name .* or a function, got 3"):
        options.resolve(config)
