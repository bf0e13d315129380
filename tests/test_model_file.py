"""A model that is saved and opened again gives the same bits; what is no such file is told."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest
import safetensors
import safetensors.numpy

from tests.docs.test_readme import README, ROOT
from vae_jax import Model, checkpoints, datasets, load_model, make_vae_for, save_model
from vae_jax.datasets import Examples, expected_examples
from vae_jax.models import LikelihoodRow
from vae_jax.models.likelihoods import make_bernoulli

X = np.random.default_rng(0).integers(0, 2, (30, 6)).astype(np.float32)


def make_model(likelihood="", **options):
    data = datasets.from_arrays(X)
    vae = make_vae_for(data, latent_dim=2, hidden=(3,), likelihood=likelihood, **options)
    examples = jax.device_get(expected_examples(data, data.train))
    params = jax.jit(vae.init)(jax.random.key(0), Examples(examples.x))
    return Model(vae, params, datasets.from_outline(datasets.outline_of(data)))


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture
def path(model, tmp_path):
    """A file of the model."""
    save_model(
        dataclasses.replace(model, metadata={"config": {"hidden": (3,)}}), tmp_path / "a.vae"
    )
    return tmp_path / "a.vae"


def test_a_model_comes_back_to_the_bit(model, path):
    """Mutants: lists for tuples, another order of arrays of one shape, options left at defaults."""
    opened = load_model(path)
    assert opened.vae.arguments == model.vae.arguments
    assert opened.metadata == {"config": {"hidden": (3,)}}
    assert jax.tree.structure(opened.params) == jax.tree.structure(model.params)
    for now, before in zip(*map(jax.tree.leaves, (opened.params, model.params)), strict=True):
        np.testing.assert_array_equal(now, before)
    np.testing.assert_array_equal(opened.encode(X[:2]), model.encode(X[:2]))


def test_what_is_there_is_kept(model, path):
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"a\.vae exists: .*--overwrite"):
        save_model(model, path)
    assert path.read_bytes() == before
    save_model(model, path, overwrite=True)
    assert path.read_bytes() != before


def test_nothing_is_left_of_a_write_that_stops(model, tmp_path, monkeypatch):
    """Mutant: bytes written under the file's own name."""

    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints.os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        save_model(model, tmp_path / "b.vae")
    assert not list(tmp_path.iterdir())


def with_layout(path):
    with safetensors.safe_open(path, framework="numpy") as file:
        header, arrays = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    path.write_bytes(safetensors.numpy.save(arrays, header | {"layout": "7"}))


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


# {what was done to the file: (how, what the line says)}
DAMAGES = {
    "cut short": (lambda path: path.write_bytes(path.read_bytes()[:-5]), "cut short"),
    "cut in the header": (lambda path: path.write_bytes(path.read_bytes()[:50]), "cut short"),
    "empty": (lambda path: path.write_bytes(b""), "no model file"),
    "text": (lambda path: path.write_text("a model"), "no model file"),
    "a bit": (flip_a_bit, "damaged: its arrays are not those that were written"),
    "newer": (with_layout, r"newer version of vae_jax \(layout 7, this one reads 1\): update"),
    "gone": (lambda path: path.unlink(), "no model file or run at"),
    "arrays": (lambda path: path.write_bytes(safetensors.numpy.save({"a": X})), "no model file of"),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_what_is_no_model_file_is_refused_in_one_line(path, case):
    damage, message = DAMAGES[case]
    damage(path)
    with pytest.raises(ValueError, match=message) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)


def test_a_row_of_ones_own_is_refused_by_name(tmp_path):
    row = LikelihoodRow("bits", make_bernoulli)
    with pytest.raises(ValueError, match="likelihood=make_bernoulli, which is code that no file"):
        save_model(make_model(row), tmp_path / "c.vae")
    assert not list(tmp_path.iterdir())


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"holds no run: there is no config\.json in it"):
        load_model(tmp_path)


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    """(the folder of a small run of two seeds, the file of the second one)."""
    from experiments.export import export

    path = tmp_path_factory.mktemp("exported") / "model.vae"
    export(str(trained[0]), str(path), member=1)
    return trained[0], path


def test_a_file_is_the_folder_to_the_bit(exported):
    """Mutants: the first member, the last weights instead of those that evaluation uses."""
    workdir, path = exported
    of_file, of_folder = load_model(path), load_model(workdir, member=1)
    x = np.arange(3 * 64).reshape(3, 8, 8, 1) % 17
    for model in (of_folder, of_file):
        np.testing.assert_array_equal(of_file.encode(x), model.encode(x))
    np.testing.assert_array_equal(of_file.sample(2), of_folder.sample(2))
    numbers = json.loads((workdir / "summary.json").read_text())
    assert of_file.metadata["numbers"]["nll"] == numbers["nll"]["members"][1]
    assert of_file.metadata["member"] == "seed=1"
    assert of_file.metadata["config"]["vae"]["hidden"] == (16,)


def test_the_file_of_the_repository_opens():
    """Mutant: a change of the layout that leaves files which are out there behind."""
    model = load_model(ROOT / "results" / "mnist.vae")
    draws = model.sample(100)
    assert draws.shape == (100, 28, 28, 1)
    assert 0.1 < draws.mean() / 255 < 0.17  # the mean of MNIST is 0.131


def test_folders_of_the_machine_stay_out_of_the_file(exported, tmp_path):
    """Mutant: the config as it is."""
    workdir = shutil.copytree(exported[0], tmp_path / "run")
    content = json.loads((workdir / "config.json").read_text())
    content["config"]["data"] |= {"path": "/home/me/x.csv", "data_dir": ""}
    content["config"]["compilation_cache"] = "/home/me/cache"
    (workdir / "config.json").write_text(json.dumps(content))
    path = tmp_path / "model.vae"
    save_model(load_model(workdir), path)
    assert load_model(path).metadata["config"]["data"]["path"] == "x.csv"
    assert b"/home" not in path.read_bytes()


def test_the_folder_gives_the_numbers_of_its_summary(exported):
    """On the test set, with the program's samples and noise: mutant, another key for them."""
    workdir, _ = exported
    model = load_model(workdir, member=1)
    bounds = model.bounds(datasets.load_digits().test.x, num_samples=100)
    assert abs(bounds["elbo"].mean() - model.metadata["numbers"]["elbo"]) < 1e-4
    assert abs(bounds["log_likelihood"].mean() + model.metadata["numbers"]["nll"]) < 1e-4


def test_a_member_that_there_is_not_is_refused(exported):
    with pytest.raises(ValueError, match=r"member=2 .* are 0 \(seed=0\), 1 \(seed=1\)"):
        load_model(exported[0], member=2)


def test_the_commands_of_the_readme_name_the_program():
    assert "python -m experiments.export --workdir=runs/elbo --output=model.vae" in README
