"""Ctrl-C at any moment, and a standard output that breaks."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time

import pytest

from experiments.support import run_folder
from experiments.support.assembly import build_run
from experiments.support.console import Output
from experiments.support.progress import resume
from tests.support.programs import ROOT

COMMAND = [sys.executable, "-m", "experiments.train", "--config=configs/beta.py"]
COMMAND += ["--config.vae.hidden=(16,)", "--config.evaluation.num_samples=2"]


def broken_output(how):
    """Return a binary stream that fails: a pipe that nobody reads, or a full disk."""
    if how == "full":
        return open("/dev/full", "wb")
    reading, writing = os.pipe()
    os.close(reading)
    return os.fdopen(writing, "wb")


@pytest.mark.parametrize(
    ("how", "reason"), [("closed", "Broken pipe"), ("full", "No space left on device")]
)
@pytest.mark.parametrize("flush", [True, False])
def test_a_broken_output_is_said_once(capfd, how, reason, flush):
    """Nothing is raised, at the end of the program neither. Mutants: a plain stream, a line a
    print."""
    with broken_output(how) as stream, Output(stream, "utf-8", line_buffering=True) as output:
        for i in range(3):
            print(f"line {i}", file=output, flush=flush)
        output.write("no end of line")
    said = capfd.readouterr().err
    assert said == (
        f"cannot print any more ({reason}): the program goes on, its files are written as ever\n"
    )


def test_an_output_that_works_is_left_alone(tmp_path, capfd):
    with Output((tmp_path / "out").open("wb"), "utf-8", line_buffering=True) as output:
        print("x = 0.5 \u2502", file=output)
        assert output.write("z") == 1
    assert (tmp_path / "out").read_text(encoding="utf-8") == "x = 0.5 \u2502\nz"
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_while_modules_are_imported_is_one_line(sent):
    """Even where an exception would be swallowed. Mutants: KeyboardInterrupt, no handler."""
    program = (
        "import os, sys; sys.argv[0] = '-m'; import experiments\n"
        "try: os.kill(os.getpid(), int(sys.argv[1]))\n"
        "except BaseException: pass\n"
        "print('went on')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(int(sent))], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 130 and done.stdout == ""
    assert done.stderr == "error: stopped: the same command starts again\n"


def test_an_import_by_another_program_leaves_signals_alone():
    """A notebook, say: this process is one. Mutant: handlers set by every import."""
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# Makes its standard input the terminal of a session of its own, then runs what follows.
IN_TERMINAL = (
    "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    "os.execv(sys.argv[1], sys.argv[1:])"
)


def press_ctrl_c(workdir, seconds):
    """Train in a terminal, press Ctrl-C after so long; return the exit code and what it shows."""
    ours, theirs = pty.openpty()
    more = [f"--workdir={workdir}", "--config.training.num_epochs=4000"]
    process = subprocess.Popen(
        [sys.executable, "-c", IN_TERMINAL, *COMMAND, *more, "--config.compilation_cache=off"],
        cwd=ROOT,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown, start, pressed = b"", time.monotonic(), False
    while time.monotonic() < start + seconds + 120:
        if not pressed and time.monotonic() > start + seconds:
            pressed = os.write(ours, b"\x03")
        if select.select([ours], [], [], 0.02)[0]:
            try:
                shown += os.read(ours, 2**16)
            except OSError:  # it has ended
                break
    os.close(ours)
    return process.wait(timeout=10), shown.decode(errors="replace")


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.3, 0.8, 1.5, 2, 3, 4, 5, 6, 8, 10, 20])
def test_ctrl_c_stops_at_any_moment(tmp_path, seconds):
    """Imports, reading of data, compilation, training: one line, exit code 130, and nothing that a
    start could not go on from. Up to 98 lines of traceback before, or no stop at all."""
    code, shown = press_ctrl_c(tmp_path / "run", seconds)
    said = [line for line in re.split(r"[\r\n]+", shown) if "error:" in line]
    assert code == 130 and len(said) == 1 and "Traceback" not in shown, shown
    assert "starts again" in said[0] or "goes on" in said[0]
    if (tmp_path / "run" / "config.json").exists():
        run = build_run(run_folder.read_config(tmp_path / "run"))
        step = int(resume(run.init(run.dataset.train), run, tmp_path / "run").state.step)
        assert f"at step {step};" in said[0] or step == 0


@pytest.mark.slow
@pytest.mark.parametrize("output", ["| head -1", "> /dev/full", ">&-"])
def test_a_run_whose_output_breaks_goes_on_to_its_end(tmp_path, output):
    """With its summary, and one line that says why nothing more is shown."""
    more = [f"--workdir={tmp_path}/run", "--config.training.num_epochs=10"]
    run = " ".join(f"'{each}'" for each in [*COMMAND, *more])
    script = f"({run}; echo $? > {tmp_path}/code) {output}"
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert (tmp_path / "code").read_text() == "0\n"
    assert (tmp_path / "run" / "summary.json").exists()
    assert done.stderr.count("cannot print any more") == (output != ">&-")
