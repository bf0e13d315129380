"""The programs, where time, order and screens are.

Importing them takes seconds, in which Ctrl-C would show a traceback or, raised within an extension
that catches it, be lost: it ends the program from here on.
"""

import contextlib
import os
import signal
import sys
from typing import NoReturn

FAILURE, USER_ERROR, STOPPED = 1, 2, 130


def end_at_once(message: str, exit_code: int) -> NoReturn:
    """End the process with one line, from whatever thread or state it is in; nothing is cleaned up.

    What is on the disk stays as a SIGKILL would leave it, which every program can go on from.
    """
    with contextlib.suppress(OSError):
        if sys.stdout.isatty():
            os.write(sys.stdout.fileno(), b"\x1b[?25h\n")  # the cursor, which a progress bar hides
        os.write(sys.stderr.fileno(), f"error: {message}\n".encode())
    os._exit(exit_code)


def stop_at_once(message: str = "stopped: the same command starts again") -> None:
    """Let Ctrl-C and SIGTERM end the process with this line."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: end_at_once(message, STOPPED))


if sys.argv[0] == "-m":  # python -m, until it has found the program: not an import by another one
    stop_at_once()
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # the shell closed it, by `>&-`
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
