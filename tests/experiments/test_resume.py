"""A run that is killed, damaged or shared ends as if nothing had happened, or says what did."""

import json
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import jax.numpy as jnp
import pytest

from experiments.support import run_folder
from experiments.support.assembly import build_run
from experiments.support.loading import load_run
from experiments.support.progress import restore_best, resume
from experiments.train import train_and_evaluate
from tests.support.programs import ROOT, train, train_here, typed
from vae_jax import checkpoints

# Small and quick, with a checkpoint every epoch: a kill is likely to hit a save or a deletion.
TINY = (
    "--config.vae.hidden=(16,)",
    "--config.vae.latent_dim=2",
    "--config.optimizer.ema_decay=0.9",
    "--config.optimizer.warmup_steps=5",
    "--config.training.num_epochs=12",
    "--config.training.log_every_steps=7",
    "--config.training.eval_every_epochs=2",
    "--config.training.checkpoint_every_epochs=1",
    "--config.training.patience=100",
    "--config.evaluation.num_samples=2",
)


def start(workdir, *arguments, config="beta", stderr=subprocess.DEVNULL, **options):
    """Start the program and return the process."""
    command = [sys.executable, "-m", "experiments.train", f"--config=configs/{config}.py"]
    return subprocess.Popen(
        [*command, f"--workdir={workdir}", *TINY, *arguments],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        **options,
    )


def wait_for_metrics(workdir, process):
    """Wait until the first line of metrics is written."""
    deadline = time.monotonic() + 120
    while num_lines(workdir) == 0:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.005)


def num_lines(workdir):
    metrics = workdir / "metrics.jsonl"
    return metrics.read_bytes().count(b"\n") if metrics.exists() else 0


def kill_on_the_way(workdir, seconds, *arguments, config):
    """Start or resume, and kill so many seconds after the first new line of metrics."""
    process = start(workdir, *arguments, config=config)
    before, deadline = num_lines(workdir), time.monotonic() + 120
    while num_lines(workdir) == before and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
        before = min(before, num_lines(workdir))  # resuming cuts lines off first
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.wait()


def results(workdir):
    """Return all that must not depend on kills: metrics, digests of checkpoints, final numbers."""
    digests = {
        (folder.parent.name, folder.name): (folder / "digest" / "metadata").read_bytes()
        for name in ("checkpoints", "best")
        for folder in (workdir / name).glob("[0-9]*")
        if folder.name.isdigit()
    }
    summary = json.loads((workdir / "summary.json").read_text())
    numbers = {name: each for name, each in summary.items() if not name.endswith("_seconds")}
    return (workdir / "metrics.jsonl").read_bytes(), digests, numbers


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of an uninterrupted run."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    train_here(typed("beta", *TINY), workdir)
    return workdir


def test_killed_on_the_way_ends_bit_equal(whole, tmp_path):
    """SIGKILL in a run of the program, and resumed in this process: arrays and metrics are the same
    bits. Mutants: keys by the time of the start, metrics written twice."""
    workdir = tmp_path / "run"
    kill_on_the_way(workdir, 0.1, config="beta")
    assert 0 < num_lines(workdir) < num_lines(whole)
    train_here(typed("beta", *TINY), workdir)
    assert results(workdir) == results(whole)


def test_training_seconds_are_of_the_whole_run(whole, tmp_path):
    """Those of the processes before, kept with the checkpoint, are counted; where they are lost, no
    number is given. Mutants: those of the last process only, a lost number for 0."""
    assert run_folder.read_seconds(tmp_path) == 0
    workdir = shutil.copytree(whole, tmp_path / "run")
    first = json.loads((workdir / "summary.json").read_text())["training_seconds"]
    assert 0 < run_folder.read_seconds(workdir) <= first
    run_folder.write_seconds(workdir, 1000.0)
    train_here(typed("beta", *TINY), workdir)
    again = json.loads((workdir / "summary.json").read_text())["training_seconds"]
    assert 1000 < again < 1000 + 60
    (workdir / "seconds.json").unlink()
    train_here(typed("beta", *TINY), workdir)
    assert "training_seconds" not in json.loads((workdir / "summary.json").read_text())


def check_kills(whole, workdir, pauses, *arguments, config="beta"):
    for pause in pauses:
        kill_on_the_way(workdir, pause, *arguments, config=config)
    done = train(workdir, *TINY, *arguments, config=config)
    assert done.returncode == 0, done.stderr
    assert results(workdir) == results(whole)


@pytest.mark.slow
def test_killed_time_and_again_ends_bit_equal(whole, tmp_path):
    """While it resumes, too, whatever it is doing."""
    check_kills(whole, tmp_path / "run", (0.0, 0.05, 0.11, 0.23, 0.4))


@pytest.mark.slow
def test_interrupted_by_ctrl_c_says_how_to_go_on(whole, tmp_path):
    """Ctrl-C saves, names the command, and the same command then ends with the same bits."""
    workdir = tmp_path / "run"
    process = start(workdir, stderr=subprocess.PIPE, text=True)
    wait_for_metrics(workdir, process)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert f"--workdir={workdir}" in said and said.count("\n") == 1
    step = re.search(r"stopped at step (\d+);", said)[1]
    assert (workdir / "checkpoints" / step).is_dir()
    assert not (workdir / "summary.json").exists()
    assert train(workdir, *TINY).returncode == 0
    assert results(workdir)[0::2] == results(whole)[0::2]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_killed_at_thirty_random_points(whole, tmp_path, seed):
    chance = random.Random(seed)
    check_kills(whole, tmp_path / "run", [chance.uniform(0, 0.6) for _ in range(5)])


@pytest.mark.slow
def test_damaged_newest_checkpoint_falls_back(whole, tmp_path):
    """Half of the newest checkpoint gone: one line says so, and the end is the same."""
    workdir = tmp_path / "run"
    shutil.copytree(whole, workdir)
    newest = max((workdir / "checkpoints").glob("[0-9]*"), key=lambda folder: int(folder.name))
    for file in (newest / "state").rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    done = train(workdir, *TINY)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert f"[{newest.name}] damaged, going on from step {int(newest.name) - 12}" in said
    assert results(workdir) == results(whole)


# {kind of run: (its config, what it adds)}
KINDS = {
    "members": ("beta", "--config.num_seeds=3"),
    "sweep": ("beta", "--config.sweep=objective.beta=1,4"),
    "iwae": ("beta", "--config.objective.name=iwae"),
    "concrete": ("concrete", "--config.optimizer.ema_decay=0"),
    "conditional": ("cvae", "--config.training.eval_every_epochs=1"),
    "early stopping": ("beta", "--config.training.patience=1"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_five_random_points(tmp_path, kind):
    """Of each kind of run."""
    config, more = KINDS[kind]
    done = train(tmp_path / "whole", *TINY, more, config=config)
    assert done.returncode == 0, done.stderr
    chance = random.Random(kind)
    pauses = [chance.uniform(0, 0.6) for _ in range(5)]
    check_kills(tmp_path / "whole", tmp_path / "run", pauses, more, config=config)


@pytest.fixture(scope="module")
def built(whole):
    """(the run of that folder, its initial state)."""
    run = build_run(run_folder.read_config(whole))
    return run, run.init(run.dataset.train)


@pytest.fixture
def copied(whole, built, tmp_path):
    """(a copy of that folder, its run, its initial state)."""
    shutil.copytree(whole, tmp_path / "run")
    return tmp_path / "run", *built


def damage_best(workdir, how):
    """Leave no best checkpoint that is whole."""
    if how == "damaged":
        for file in (workdir / "best").rglob("*"):
            if file.is_file():
                file.write_bytes(b"")
        return
    shutil.rmtree(workdir / "best")
    if how == "empty":
        (workdir / "best").mkdir()
    if how == "a file":
        (workdir / "best").write_text("")


@pytest.mark.parametrize(
    "how", [*[pytest.param(how, marks=pytest.mark.slow) for how in ("missing", "empty")], "damaged"]
)
def test_a_lost_best_checkpoint_is_said_on_resume(copied, capsys, how):
    """The members as they are stand for it, in `best/` too. Mutants: None, a state that is not
    saved, the initial one."""
    workdir, run, state = copied
    damage_best(workdir, how)
    state, best, elbos = resume(state, run, workdir)
    said = " ".join(capsys.readouterr().out.split())
    assert "holds no checkpoint that is whole: the members as of step 144 stand for" in said
    assert checkpoints.digest(best) == checkpoints.digest(state) and len(elbos) == 6
    saved, damaged = checkpoints.restore_newest(workdir / "best", state)
    assert checkpoints.digest(saved) == checkpoints.digest(state) and damaged == []
    assert checkpoints.digest(resume(state, run, workdir).best) == checkpoints.digest(state)
    assert capsys.readouterr().out == ""


def test_before_the_first_evaluation_no_best_is_missed(copied, capsys):
    """Checkpoints of step 12, evaluations from step 24 on."""
    workdir, run, state = copied
    restored, _ = checkpoints.restore_newest(workdir / "checkpoints", state)
    shutil.rmtree(workdir / "best")
    for step in (12, 24):
        early = restored._replace(step=jnp.array(step, restored.step.dtype))
        assert (restore_best(workdir / "best", early, run) is None) == (step == 12)
    assert capsys.readouterr().out.count("stand for") == 1


@pytest.mark.slow
@pytest.mark.parametrize("how", ["missing", "empty", "damaged", "a file"])
def test_a_run_without_its_best_checkpoint_is_used_as_it_ended(copied, capsys, how):
    """By evaluate, encode and sample; the line says so."""
    workdir, _, state = copied
    damage_best(workdir, how)
    used = load_run(workdir)[2]
    last, _ = checkpoints.restore_newest(workdir / "checkpoints", state)
    assert checkpoints.digest(used) == checkpoints.digest(last)
    said = " ".join(capsys.readouterr().out.split())
    assert "best holds no checkpoint that is whole: the newest is used" in said
    shutil.rmtree(workdir / "checkpoints")
    with pytest.raises(ValueError, match="holds no checkpoint that is whole: train it"):
        load_run(workdir)


# {case: (what happens to the lines of metrics, how many are lost, what is said of it)}. Of the 12
# epochs of 12 steps, a line every 7 steps and every epoch, an evaluation every other epoch.
LOST = {
    "nothing": (lambda lines: lines, 0, ""),
    "all": (lambda lines: [], 37, "37 of 37 lines up to step 144 are damaged or missing, the f"),
    "the end": (lambda lines: lines[:16], 21, "early stopping goes by the evaluations that are l"),
    "half a line": (lambda lines: [*lines[:-1], lines[-1][:30]], 1, "is validation at step 144"),
    "a line": (lambda lines: [*lines[:9], *lines[10:]], 1, "1 of 37 lines up to step 144"),
    "a digit": (
        lambda lines: [lines[0].replace(b'"step": 7', b'"step": 8'), *lines[1:]],
        1,
        "the first is train at step 7; curves are drawn without them",
    ),
}


@pytest.mark.parametrize("case", LOST)
def test_lost_lines_of_metrics_are_said_on_resume(copied, capsys, case):
    workdir, run, state = copied
    lose, count, message = LOST[case]
    metrics = workdir / "metrics.jsonl"
    lines = metrics.read_bytes().splitlines(keepends=True)
    metrics.write_bytes(b"".join(lose(lines)))
    elbos = resume(state, run, workdir).elbos
    said = " ".join(capsys.readouterr().out.split())
    assert message in said and (said == "") == (count == 0)
    left = metrics.read_bytes().splitlines(keepends=True)
    assert len(left) == len(lines) - count and set(left) <= set(lines)
    assert len(elbos) == sum(b"validation" in line for line in left)
    # Early stopping rests on the evaluations alone.
    lost_any = len(elbos) < sum(b"validation" in line for line in lines)
    assert ("early stopping goes by" in said) == lost_any


@pytest.mark.slow
def test_a_missing_file_of_metrics_is_said_and_the_run_ends(copied, capsys):
    """Nothing is left to draw, and nothing to train; numbers and pictures are as before."""
    workdir, run, _ = copied
    before = json.loads((workdir / "summary.json").read_text())
    (workdir / "metrics.jsonl").unlink()
    shutil.rmtree(workdir / "figures")
    train_and_evaluate(run.config, workdir, False)
    assert "37 of 37 lines" in " ".join(capsys.readouterr().out.split())
    after = json.loads((workdir / "summary.json").read_text())
    assert after["elbo"] == before["elbo"]
    assert not (workdir / "figures" / "curves.png").exists()
    assert (workdir / "figures" / "overview.png").exists()


def test_training_anew_for_want_of_checkpoints_is_said(copied, capsys):
    workdir, run, state = copied
    shutil.rmtree(workdir / "checkpoints")
    assert int(resume(state, run, workdir).state.step) == 0
    assert "holds no checkpoint: training starts at step 0" in " ".join(
        capsys.readouterr().out.split()
    )


@pytest.mark.slow
def test_no_checkpoint_left_is_said(whole, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(whole, workdir)
    for file in (workdir / "checkpoints").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    metrics = (workdir / "metrics.jsonl").read_bytes()
    done = train(workdir, *TINY)
    assert done.returncode == 2 and "no checkpoint left" in done.stderr
    assert done.stderr.count("\n") == 1
    assert (workdir / "metrics.jsonl").read_bytes() == metrics


def flip(content, chance):
    """Turn one bit of a random byte."""
    damaged = bytearray(content)
    damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    return bytes(damaged)


DAMAGES = {
    "missing": None,
    "empty": lambda content, chance: b"",
    "cut": lambda content, chance: content[: chance.randrange(len(content))],
    "flipped": flip,
    "zeros": lambda content, chance: bytes(len(content)),
    "longer": lambda content, chance: content + b"\x00\x01",
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # orbax's, at a gc
@pytest.mark.parametrize("damage", DAMAGES)
def test_every_damaged_file_is_recovered_or_refused(whole, built, tmp_path, capsys, damage):
    """Each file of the folder in turn: going on has the bits of a whole checkpoint and whole lines
    of metrics, or it is refused in one line. A loss is said."""
    run, initial = built
    known = {
        int(step.name): checkpoints.digest(state)
        for step in (whole / "checkpoints").glob("[0-9]*")
        for state in [restore_step(whole / "checkpoints", int(step.name), initial, tmp_path)]
    }
    best = checkpoints.digest(checkpoints.restore_newest(whole / "best", initial)[0])
    lines = set((whole / "metrics.jsonl").read_bytes().splitlines())
    fingerprint = json.loads((whole / "config.json").read_text())["data"]
    chance, counts = random.Random(0), dict.fromkeys(("as before", "said", "refused"), 0)
    for path in sorted(path for path in whole.rglob("*") if path.is_file() and path.stat().st_size):
        workdir = tmp_path / "case"
        shutil.copytree(whole, workdir)
        damage_file(workdir / path.relative_to(whole), DAMAGES[damage], chance)
        capsys.readouterr()
        try:
            run_folder.check_places(workdir)
            run_folder.check_config(workdir, run.config.to_dict(), False)
            run_folder.check_data(workdir, fingerprint)
            run_folder.write_config(
                workdir, run.config.to_dict(), "cpu", run.dataset, fingerprint, run.member_names
            )
            going_on = resume(initial, run, workdir)
        except (OSError, ValueError) as error:
            assert "\n" not in str(error), path
            counts["refused"] += 1
        else:
            said = " ".join(capsys.readouterr().out.split())
            step = int(going_on.state.step)
            assert checkpoints.digest(going_on.state) == known[step], path
            assert step == max(known) or f"[{max(known)}] damaged" in said, path
            is_best = checkpoints.digest(going_on.best) == best
            assert is_best or "stand for their best" in said, path
            metrics = workdir / "metrics.jsonl"
            left = set(metrics.read_bytes().splitlines()) if metrics.exists() else set()
            assert left <= lines and (left == lines or step < max(known) or "lines up to" in said)
            counts["said" if said else "as before"] += 1
        shutil.rmtree(workdir)
    with capsys.disabled():
        print(f"\n{damage}: {counts}")
    assert counts["said"] > 5


def restore_step(folder, step, state_like, tmp_path):
    """Return the checkpoint of a step that need not be the newest."""
    shutil.copytree(folder / str(step), tmp_path / "one" / str(step))
    state, _ = checkpoints.restore_newest(tmp_path / "one", state_like)
    shutil.rmtree(tmp_path / "one")
    return state


def damage_file(path, damaged, chance):
    content = path.read_bytes()
    path.unlink()
    if damaged is not None:
        path.write_bytes(damaged(content, chance))


@pytest.mark.slow
def test_second_run_on_a_folder_is_refused_while_the_first_lives(tmp_path):
    workdir = tmp_path / "run"
    process = start(workdir)
    wait_for_metrics(workdir, process)
    process.send_signal(signal.SIGSTOP)
    second = train(workdir, *TINY)
    process.send_signal(signal.SIGKILL)
    process.send_signal(signal.SIGCONT)
    process.wait()
    assert second.returncode == 2
    assert f"in use by process {process.pid}" in second.stderr and second.stderr.count("\n") == 1
    # The lock of the dead process is none: test_killed_on_the_way goes on after kills.


@pytest.mark.slow
def test_longer_run_needs_extend(whole, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(whole, workdir)
    longer = (*TINY, "--config.training.num_epochs=26")
    refused = train(workdir, *longer)
    assert refused.returncode == 2 and "--extend lengthens the run" in refused.stderr
    done = train(workdir, *longer, "--extend")
    assert done.returncode == 0, done.stderr
    lines = (workdir / "metrics.jsonl").read_bytes()
    assert lines.startswith((whole / "metrics.jsonl").read_bytes())
    assert json.loads(lines.splitlines()[-1])["step"] == 26 * 12


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1.2 megabytes, or skip."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1200k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("cannot mount a tmpfs here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.slow
def test_full_disk_is_one_line_and_keeps_the_last_checkpoint(small_disk):
    """Room for a checkpoint or two of 0.4 MB, not for all: the newest whole one stays."""
    arguments = (*TINY, "--config.vae.hidden=(100,)", "--config.training.num_epochs=2000")
    done = train(small_disk / "run", *arguments)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
    assert "No space left" in done.stderr or "cannot write" in done.stderr
    steps = list((small_disk / "run" / "checkpoints").glob("[0-9]*"))
    assert len(steps) >= 1
