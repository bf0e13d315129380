"""The programs that use a trained model, and what a run leaves for TensorBoard."""

import json
import re
import shutil
import struct

import numpy as np
import pytest

from experiments import encode, sample
from experiments.support import cli, run_folder, tensorboard
from experiments.support.loading import load_member, load_run
from tests.docs.test_readme import README
from tests.support.programs import run_program
from vae_jax import datasets

NAMES = ["seed=0", "seed=1"]


@pytest.fixture(scope="module")
def workdir(trained):
    """The folder of a small run of two seeds."""
    return trained[0]


@pytest.fixture(scope="module")
def readme_lines(workdir):
    """The indented lines of the README on this subject, with `workdir` for the run."""
    section = README.split("## Use a trained model")[1].split("\n## ")[0]
    lines = re.findall(r"^    (.*)$", section, re.MULTILINE)
    return [re.sub(r"runs/\w+", str(workdir), line) for line in lines]


@pytest.fixture(scope="module")
def used(workdir, readme_lines, tmp_path_factory):
    """The folder in which the README's commands wrote, about the run's own test set."""
    folder = tmp_path_factory.mktemp("used")
    dataset = load_run(workdir)[0].dataset
    np.savez(folder / "x.npz", **dataset.test._asdict())
    programs = ("python -m experiments.encode ", "python -m experiments.sample ")
    commands = [line for line in readme_lines if line.startswith(programs)]
    encoding, sampling = [
        re.sub(r"(--(in|out)put=)", rf"\1{folder}/", command).split()[2:] for command in commands
    ]
    done = run_program(*encoding)
    assert done.returncode == 0 and not done.stderr, done.stderr
    # The other one in this process, where what it compiles is used again.
    given = dict(word.removeprefix("--").split("=") for word in sampling[1:])
    assert sampling[0] == "experiments.sample" and given.keys() == {"workdir", "num", "output"}
    sample.sample_to_file(given["workdir"], given["output"], 0, int(given["num"]), 0)
    return folder


def test_files_that_are_written(used):
    z, samples = np.load(used / "z.npz"), np.load(used / "samples.npz")
    assert {name: z[name].shape for name in z} == {
        "mean": (359, 10),
        "scale": (359, 10),
        "reconstruction": (359, 8, 8, 1),
        "elbo": (359,),
        "log_likelihood": (359,),
    }
    assert {name: samples[name].shape for name in samples} == {
        "z": (64, 10),
        "mean": (64, 8, 8, 1),
        "x": (64, 8, 8, 1),
    }
    assert set(np.unique(samples["x"] * 16)) == set(range(17))
    assert {path.name for path in used.iterdir()} == {
        *("x.npz", "z.npz", "samples.npz", "samples.png")
    }
    assert (used / "samples.png").read_bytes().startswith(b"\x89PNG")


def test_python_of_the_readme_gives_the_same_codes(workdir, readme_lines, used):
    run, _, _ = load_run(workdir)
    names = {"x": run.dataset.test.x}
    exec("\n".join(line for line in readme_lines if not line.startswith("python -m ")), names)
    z = np.load(used / "z.npz")
    np.testing.assert_allclose(z["mean"], names["codes"], atol=1e-5)
    model = names["model"]
    q = model.vae.encode(model.params, run.dataset.test.x[5] / np.float32(16))
    np.testing.assert_allclose(z["scale"][5], q.scale, atol=1e-5)
    decoded = model.vae.decode(model.params, q.mean).mean
    np.testing.assert_allclose(z["reconstruction"][5], decoded, atol=1e-5)
    np.testing.assert_allclose(
        z["reconstruction"][5] * 16, model.reconstruct(names["x"])[5], atol=1e-4
    )


def test_a_trained_model_needs_no_data(workdir, used, tmp_path, monkeypatch):
    """Encode and sample where the data set cannot be loaded: the same numbers as with it.

    Mutants: a data set that is loaded for its shapes; an outline whose arrays have values.
    """
    monkeypatch.setattr(datasets, "load_dataset", None)
    encode.encode_file(str(workdir), str(used / "x.npz"), str(tmp_path / "z.npz"), 0, 2)
    sample.sample_to_file(str(workdir), str(tmp_path / "samples.npz"), 0, 64, 0)
    z, before = np.load(tmp_path / "z.npz"), np.load(used / "z.npz")
    np.testing.assert_allclose(z["mean"], before["mean"], atol=1e-6)
    drawn, before = np.load(tmp_path / "samples.npz"), np.load(used / "samples.npz")
    np.testing.assert_allclose(drawn["mean"], before["mean"], atol=1e-6)
    run, _, _ = load_member(workdir)
    with pytest.raises(TypeError):
        np.asarray(run.dataset.test.x) + 1


def test_encoding_the_test_set_gives_the_summarys_numbers(workdir, used):
    """The same bits and noise, whatever the batch and chunk, of either member."""
    summary = json.loads((workdir / "summary.json").read_text())
    run, how, params = load_member(workdir, 1, with_data=True)
    how = how._replace(batch_size=90, chunk_size=7)
    examples, other = run.dataset.test, run.dataset._replace(test=run.dataset.validation)
    in_python = encode.encode_examples(run._replace(dataset=other), how, params, examples)
    for i, z in enumerate((np.load(used / "z.npz"), in_python)):
        assert abs(z["elbo"].mean() - summary["elbo"]["members"][i]) < 1e-4
        assert abs(z["log_likelihood"].mean() + summary["nll"]["members"][i]) < 1e-4
        assert z["log_likelihood"].mean() > z["elbo"].mean()


@pytest.mark.slow
def test_samples_are_those_of_their_seed(workdir, used):
    """The first samples do not depend on how many there are, nor on the batch."""
    run, _, params = load_member(workdir)
    written = np.load(used / "samples.npz")
    again = sample.draw_samples(run, params, num=9, seed=0, batch_size=4)
    for name, values in again.items():
        np.testing.assert_allclose(values, written[name][:9], atol=1e-6, err_msg=name)
    many = sample.draw_samples(run, params, num=400, seed=1, batch_size=400)
    for name in written:
        assert (many[name][:9] != again[name]).any()
    # Four standard errors of 4,000 draws of z and of 25,600 binomials of 16: z of the posterior, or
    # x that are rounded means, would be outside.
    assert abs(many["z"].mean()) < 4 / np.sqrt(4000)
    assert abs(many["z"].std() - 1) < 4 / np.sqrt(2 * 4000)
    variance = (many["mean"] * (1 - many["mean"]) / 16).mean()
    assert abs((many["x"] - many["mean"]).mean()) < 4 * np.sqrt(variance / many["x"].size)
    assert abs(((many["x"] - many["mean"]) ** 2).mean() - variance) < 0.01


ZEROS = np.zeros((2, 8, 8, 1), np.uint8)
NOT_A_NUMBER = np.full((2, 8, 8, 1), np.nan)
# {case: (arrays of the input, or its content, changed arguments, what the line says)}
INPUTS = {
    "missing": (None, {}, "No such file"),
    "no zip": (b"no zip", {}, "cannot read"),
    "npy": (b"\x93NUMPY", {}, "cannot read"),
    "wrong key": ({"z": ZEROS}, {}, "no key 'x'; its keys: z"),
    "objects": ({"x": np.array([{}])}, {}, "cannot read"),
    "words": ({"x": np.array(["a"])}, {}, "must be numbers"),
    "nan": ({"x": NOT_A_NUMBER}, {}, "has missing values, but the model was trained on whole"),
    "too large": ({"x": np.full((2, 8, 8, 1), 1e300)}, {}, "128 values that are NaN or infinite"),
    "lengths": ({"x": ZEROS, "y": np.zeros(3)}, {}, "2 examples, but 'y' has shape (3,)"),
    "shape": ({"x": ZEROS[..., 0]}, {}, "shape (8, 8), but those of the model have"),
    "range": ({"x": ZEROS + 17}, {}, "17 .. 17, but the model was trained on integers 0 .. 16"),
    "units": ({"x": ZEROS + 0.5}, {}, "0.5 .. 0.5, but the model was trained on integers 0 .. 16"),
    "halves": ({"x": ZEROS + 3.5}, {}, "3.5 .. 3.5, but the model was trained on integers 0 .. 16"),
    "member": ({"x": ZEROS}, {"member": 2}, "whose members are 0 (seed=0), 1 (seed=1)"),
    "no run": ({"x": ZEROS}, {"workdir": "/"}, "holds no run"),
    "no folder": ({"x": ZEROS}, {"output": "FOLDER/bad.npz/z.npz"}, "bad.npz"),
    "folder": ({"x": ZEROS}, {"output": "FOLDER"}, "is a folder"),
}  # fmt: skip


@pytest.mark.parametrize("case", INPUTS)
def test_bad_input_is_refused_in_one_line(workdir, tmp_path, capsys, case):
    content, changed, message = INPUTS[case]
    path, output = tmp_path / "bad.npz", tmp_path / "z.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.savez(path, **content)
    changed = {name: str(each).replace("FOLDER", str(tmp_path)) for name, each in changed.items()}
    arguments = {"workdir": workdir, "output": str(output), "member": 0, **changed}
    arguments["member"] = int(arguments["member"])
    with pytest.raises(SystemExit) as ended, cli.user_errors():
        encode.encode_file(source=str(path), num_samples=1, **arguments)
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.startswith("error: ") and said.count("\n") == 1 and message in said, said
    assert {each.name for each in tmp_path.iterdir()} <= {"bad.npz"}


@pytest.mark.parametrize(
    ("program", "arguments", "message"),
    [
        pytest.param("sample", ["--num=0"], "--num=0", marks=pytest.mark.slow),
        pytest.param(
            "sample",
            ["--output=samples.png"],
            "must end in .csv, .parquet, .npz",
            marks=pytest.mark.slow,
        ),
        ("encode", ["--input=no.npz"], "--output"),
    ],
)
def test_bad_flags_are_refused_in_one_line(workdir, program, arguments, message):
    done = run_program(f"experiments.{program}", f"--workdir={workdir}", *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    assert message in done.stderr


def crc32c(data):
    """Return the checksum by its definition, a bit at a time."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def read_events(folder):
    """Return the events of folder/tensorboard, all in its newest file, checking the framing."""
    from tensorboardX.proto.event_pb2 import Event

    def take(size):
        nonlocal data
        part, data = data[:size], data[size:]
        (checksum,) = struct.unpack("<I", data[:4])
        data = data[4:]
        if size < 1000:  # for a picture this is slow
            crc = crc32c(part)
            assert checksum == ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32
        return part

    *old, path = sorted(p for p in (folder / "tensorboard").iterdir() if p.is_file())
    assert not any(each.stat().st_size for each in old)
    data, events = path.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", take(8))
        events.append(Event.FromString(take(length)))
    return events


def check_events(folder):
    """Check that the event file has the config, and each point of metrics.jsonl exactly once."""
    version, session, text, *events = read_events(folder)
    assert version.file_version == "brain.Event:2"
    assert session.session_log.status == session.session_log.START
    (shown,) = text.summary.value[0].tensor.string_val
    assert '"latent_dim": 10' in shown.decode()
    points = {}
    for event in events:
        for value in event.summary.value:
            if value.WhichOneof("value") == "simple_value":
                assert (value.tag, event.step) not in points
                points[value.tag, event.step] = value.simple_value
    lines = run_folder.read_metrics(folder / "metrics.jsonl")
    expected = {
        (f"{line['split']}/{name}/{member}", line["step"]): number
        for line in lines
        for name in line.keys() - {"step", "split"}
        for member, number in zip(NAMES, line[name]["members"], strict=True)
    }
    assert expected.keys() == points.keys() and len(expected) > 10
    for point, number in expected.items():
        assert abs(points[point] - number) <= 1e-6 * abs(number)


def pictures(folder):
    """Return {tag: (step, content)} of the pictures, each of which is there once."""
    found = {}
    for event in read_events(folder):
        for value in event.summary.value:
            if value.WhichOneof("value") == "image":
                assert value.tag not in found
                found[value.tag] = (event.step, value.image)
    return found


def test_a_run_leaves_its_events(workdir):
    """What the training program wrote as it went."""
    check_events(workdir)
    found = pictures(workdir)
    assert {"figures/curves", "figures/seed=0/samples", "figures/seed=1/samples"} <= found.keys()
    assert len(found) == 13
    step, image = found["figures/curves"]
    assert step == 36
    assert image.encoded_image_string == (workdir / "figures" / "curves.png").read_bytes()
    assert (image.width, image.height) == (1080, 392)


def test_events_after_a_kill(workdir, tmp_path):
    """A file with points of the future and half an event at its end is made again, without them."""

    def read(line):
        return {name: value for name, value in json.loads(line).items() if name != "check"}

    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("config.json", "metrics.jsonl"):
        shutil.copy(workdir / name, folder)
    metrics = folder / "metrics.jsonl"
    lines = metrics.read_text().splitlines(keepends=True)
    metrics.write_text("")
    tensorboard.start(folder, NAMES)
    for line in lines:
        tensorboard.append_metrics(folder, read(line), NAMES)
    (path,) = (folder / "tensorboard").iterdir()
    path.write_bytes(path.read_bytes()[:-5])
    metrics.write_text("".join(lines[:-1]))
    tensorboard.start(folder, NAMES)
    metrics.write_text("".join(lines))
    tensorboard.append_metrics(folder, read(lines[-1]), NAMES)
    check_events(folder)


def test_scalars_of_a_line():
    line = {"step": 3, "split": "train", "elbo": -2.5, "kl": None}
    assert tensorboard.scalars(line, ["seed=0"]) == {"train/elbo": -2.5}
    line = {"step": 3, "split": "train", "elbo": {"members": [None, -1.0], "points": {}}}
    assert tensorboard.scalars(line, NAMES) == {"train/elbo/seed=1": -1.0}


def test_tensorboard_reads_the_events(workdir):
    """TensorBoard's own reader, where it is installed."""
    module = "tensorboard.backend.event_processing.event_accumulator"
    reader = pytest.importorskip(module).EventAccumulator(str(workdir / "tensorboard"))
    reader.Reload()
    for name in NAMES:
        assert [event.step for event in reader.Scalars(f"train/elbo/{name}")] == [10, 20, 30, 36]
    assert len(reader.Tags()["images"]) == 13
    assert reader.Tags()["tensors"] == ["config/text_summary"]
