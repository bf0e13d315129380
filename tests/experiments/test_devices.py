"""Several devices and several processes compute what one does; only the first process writes."""

import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from experiments.support import processes, run_folder
from experiments.support.loading import load_run
from tests.support.programs import ROOT, SMALL, train

# 26 steps of 96 examples: both are divided by eight devices, or else by two.
RUN = (
    *SMALL,
    "--config.num_seeds=2",
    "--config.training.batch_size=96",
    "--config.training.log_every_steps=1",
    "--config.training.eval_every_epochs=1",
    "--config.training.checkpoint_every_epochs=1",
    "--config.training.patience=9",
)
ONE = os.environ | {"JAX_NUM_CPU_DEVICES": "1"}
TWO = os.environ | {"JAX_NUM_CPU_DEVICES": "2"}
EIGHT = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The folder of a run on one device."""
    workdir = tmp_path_factory.mktemp("alone")
    done = train(workdir, *RUN, env=ONE)
    assert done.returncode == 0, done.stderr
    return workdir


def assert_same_run(workdir, expected):
    """The metrics of every step and all that is in the last checkpoint, to 1e-5."""
    files = (folder / "metrics.jsonl" for folder in (workdir, expected))
    ours, theirs = map(run_folder.read_curves, files)
    assert len(ours["train"]["step"]) == 26
    for split, curve in theirs.items():
        for name, values in curve.items():
            np.testing.assert_allclose(ours[split][name], values, rtol=1e-5, err_msg=name)
    states = [load_run(folder)[2] for folder in (workdir, expected)]
    trees = [(state.params, state.opt_state) for state in states]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), *trees)


@pytest.mark.slow
def test_eight_devices_equal_one_and_one_goes_on_after_eight(alone, tmp_path):
    """A batch over eight devices; then the last epoch again on one, from the eight's checkpoint."""
    done = train(tmp_path, *RUN, env=EIGHT)
    assert done.returncode == 0, done.stderr
    assert "batch divided among 8" in done.stdout
    assert_same_run(tmp_path, alone)
    shutil.rmtree(tmp_path / "checkpoints" / "26")
    done = train(tmp_path, *RUN, env=ONE)
    assert done.returncode == 0, done.stderr
    assert "divided" not in done.stdout
    assert_same_run(tmp_path, alone)


@pytest.mark.slow
def test_members_divided_among_cores_equal_those_on_one_device(alone, tmp_path):
    """As on two cores by default, with the evaluation; the last epoch again from the checkpoint has
    the same bits. Mutants: members exchanged, an evaluation of one device's members only."""
    done = train(tmp_path, *RUN, env=TWO)
    assert done.returncode == 0, done.stderr
    assert "members divided among 2" in done.stdout
    assert_same_run(tmp_path, alone)
    summaries = [json.loads((each / "summary.json").read_text()) for each in (tmp_path, alone)]
    for name in ("elbo", "nll", "kl"):
        ours, theirs = (summary[name]["members"] for summary in summaries)
        np.testing.assert_allclose(ours, theirs, rtol=1e-4)
    before = load_run(tmp_path)[2]
    shutil.rmtree(tmp_path / "checkpoints" / "26")
    done = train(tmp_path, *RUN, env=TWO)
    assert done.returncode == 0, done.stderr
    after = load_run(tmp_path)[2]
    for a, b in zip(*map(jax.tree.leaves, (before.params, after.params)), strict=True):
        np.testing.assert_array_equal(a, b)


def start_process(workdir, port, index, *arguments):
    command = [sys.executable, "-m", "experiments.train", "--config=configs/beta.py"]
    block = {"coordinator": f"127.0.0.1:{port}", "num_processes": 2, "process_index": index}
    flags = [f"--config.distributed.{name}={value}" for name, value in block.items()]
    return subprocess.Popen(
        [*command, *RUN, *arguments, *flags, f"--workdir={workdir}"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_two_processes_equal_one(alone, tmp_path):
    """One seed on each; the second process writes nothing and is silent."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    names = ("first", "second")
    started = [start_process(tmp_path / name, port, i) for i, name in enumerate(names)]
    try:
        printed, said = zip(*(each.communicate(timeout=200) for each in started), strict=True)
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0, 0], said
    assert "members divided among 2" in printed[0] and "ELBO" not in printed[1]
    assert [path.name for path in tmp_path.iterdir()] == ["first"]
    assert_same_run(tmp_path / "first", alone)


# What jax 0.10.2 wrote to the standard error before it aborted, as recorded; stack traces cut.
AGENT = "E1121 15:50:50.809351   12513 coordination_service_agent.cc:289] Polled an error from c\n"
FATAL = (
    "F1121 15:50:50.809558   12513 client.h:80] Terminating process because the JAX distributed "
    "service detected fatal errors. This most likely indicates that another task died. absl::Status"
)
TRACE = "*** Check failure stack trace: ***\n"
UNHEALTHY = "UNAVAILABLE: The following tasks are unhealthy (stopped sending heartbeats):\n"
CRASHED = "The tasks have crashed. Check the task logs for an earlier error\n\n"
# {what happened: (the report, what the line says of it)}
REPORTS = {
    "a kill of process 3": (
        f"E1121 15:50:50.808782   12502 coordination_service.cc:1549] [1651] Use error polling to "
        f"propagate the following error to all tasks: {UNHEALTHY}3\n{CRASHED}"
        f"{AGENT}{FATAL}: {UNHEALTHY}3\n{CRASHED}"
        f"RPC: /xla.coordination.CoordinationService/PollForError [type='']\n{TRACE}",
        "process 3 was lost",
    ),
    "a kill of process 0": (
        f"{AGENT}{FATAL}: UNAVAILABLE: Failed to send RPC to coordination service. Either the "
        "leader task was preempted/died/restarted unexpectedly or this task is experiencing "
        "network issues"
        f".\nAdditional GRPC error information\n:UNKNOWN:Error received\n{TRACE}",
        "process 0 was lost",
    ),
    "a halt of process 0": (
        f"{FATAL}: DEADLINE_EXCEEDED: Deadline Exceeded\n\n"
        f"RPC: /xla.coordination.CoordinationService/Heartbeat\n{TRACE}",
        "process 0 was lost",
    ),
    "processes that do not come": (
        f"{FATAL}: DEADLINE_EXCEEDED: Deadline Exceeded\n\n"
        f"RPC: /xla.coordination.CoordinationService/RegisterTask\n{TRACE}",
        "not all processes came within 300 s",
    ),
}


@pytest.mark.parametrize("case", REPORTS)
def test_the_report_of_a_lost_process_becomes_one_line(monkeypatch, case):
    """Its 8 to 30 lines are held back, those of something else passed on."""
    report, message = REPORTS[case]
    ended, errors = [], io.StringIO()
    monkeypatch.setattr(
        processes, "end_at_once", lambda *line_and_code: ended.append(line_and_code)
    )
    other = "W1121 15:48:45.865743   11439 other.cc:147] coordination of something else\n"
    processes._relay(io.StringIO(other + report), errors)
    ((line, exit_code),) = ended
    assert message in line and "\n" not in line and exit_code == 1
    assert ("start every process again" in line) == ("was lost" in line)
    assert errors.getvalue().startswith(other)


def test_a_report_without_an_end_is_passed_on():
    errors = io.StringIO()
    processes._relay(io.StringIO(AGENT + "more\n"), errors)
    assert errors.getvalue() == AGENT + "more\n"


def wait_for_lines(workdir, count):
    metrics, deadline = workdir / "metrics.jsonl", time.monotonic() + 200
    while not metrics.exists() or metrics.read_bytes().count(b"\n") < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def start_two(workdir, *arguments):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return [start_process(workdir, port, i, *arguments) for i in range(2)]


def ends(started, timeout):
    """Return the exit codes and what the standard errors hold."""
    try:
        said = [each.communicate(timeout=timeout)[1] for each in started]
    finally:
        for each in started:
            each.kill()
    return [each.returncode for each in started], said


LONG = "--config.training.num_epochs=20000"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lost", "sent", "seconds"),
    [(1, signal.SIGKILL, 60), (0, signal.SIGKILL, 20), (1, signal.SIGSTOP, 60)],
)
def test_a_lost_process_is_named_in_one_line(tmp_path, lost, sent, seconds):
    """And the run can go on; a native abort of 29 lines after up to 90 s before."""
    started = start_two(tmp_path / "run", LONG)
    wait_for_lines(tmp_path / "run", 15)
    started[lost].send_signal(sent)
    codes, said = ends(started[1 - lost :][:1], seconds)
    for each in started:
        each.kill()
        each.communicate()
    assert codes == [1]
    assert said[0].startswith(f"error: process {lost} was lost") and said[0].count("\n") == 1
    assert list((tmp_path / "run" / "checkpoints").glob("[0-9]*"))


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_at_the_second_process_stops_both(tmp_path, sent):
    """The first one saves and says so; all go on from there, and starting all again after the end
    measures again."""
    started = start_two(tmp_path / "run", LONG)
    wait_for_lines(tmp_path / "run", 15)
    started[1].send_signal(sent)
    codes, said = ends(started, 120)
    assert codes == [130, 130] and said[1] == ""
    step = int(re.fullmatch(r"error: stopped at step (\d+); the same command .*\n", said[0])[1])
    assert (tmp_path / "run" / "checkpoints" / str(step)).is_dir()
    epochs = f"--config.training.num_epochs={step // 13 + 2}"
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    config["config"]["training"]["num_epochs"] = step // 13 + 1
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    for _ in range(2):
        codes, said = ends(start_two(tmp_path / "run", epochs, "--extend"), 300)
        assert (codes, said) == ([0, 0], ["", ""])
    steps = run_folder.read_curves(tmp_path / "run" / "metrics.jsonl")["train"]["step"]
    np.testing.assert_array_equal(steps[:, 0], np.arange(1, 13 * (step // 13 + 2) + 1))


@pytest.mark.parametrize("coordinator", ["x", "localhost:", ":123", "localhost:abc", "host:65536"])
def test_an_address_that_is_none_is_refused(coordinator):
    with pytest.raises(ValueError, match=r"must be HOST:PORT of process 0, or auto, got '"):
        processes.connect(coordinator, 2, 0)


def test_a_process_that_is_none_is_refused():
    with pytest.raises(
        ValueError, match=r"process_index must lie in 0 \.\. num_processes - 1, got 2 of 2"
    ):
        processes.connect("127.0.0.1:1", 2, 2)
