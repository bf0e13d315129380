"""Progress of long work: a bar on a terminal, a line every few seconds elsewhere.

What is computed does not depend on it: functions take `progress`, which wraps a sequence.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
import contextlib
import math
import signal
import sys
import threading
import time
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
_SECONDS_BETWEEN_LINES = 5.0
# {name of a number: (its label in the final table of one member, its format)}
_LABELS = {
    "elbo": ("test ELBO (nats)", ".2f"),
    "nll": ("-log p(x) (nats)", ".2f"),
    "nll_standard_error_over_examples": ("its standard error over examples", ".2f"),
    "baseline_nll": ("-log p(x) without latents (nats)", ".2f"),
    "bits_per_dim": ("bits per dimension", ".3f"),
    "kl": ("KL(q(z|x) || p(z)) (nats)", ".2f"),
    "reconstruction": ("reconstruction, E log p(x|z) (nats)", ".2f"),
    "active_units": ("active units", ".0f"),
    "active_units_upper": ("active units of the upper layer", ".0f"),
    "accuracy": ("accuracy of q(y|x)", ".3f"),
    "training_seconds": ("training (seconds)", ".1f"),
    "evaluation_seconds": ("evaluation (seconds)", ".1f"),
}


def say(line: str) -> None:
    """Print one line, which a narrow terminal breaks but a file or a pipe does not."""
    console.print(escape(line), soft_wrap=True)


@contextlib.contextmanager
def progress_bar(total: int, done: int, examples: int) -> Iterator[Callable[[int, str], None]]:
    """Show the progress of long work: yields update(done, text).

    A bar with rate and time left on a terminal; elsewhere a line every few seconds.

    Args:
      total: steps to do.
      done: steps done before.
      examples: examples per step, for examples per second.
    """
    start, begin, last = time.monotonic(), done, -math.inf

    def rate(now_done):
        nonlocal start, begin
        if begin == done:  # the first call compiled: the rate counts from its end
            start, begin = time.monotonic(), now_done
        return (now_done - begin) / max(time.monotonic() - start, 1e-9)

    def line(now_done, text):
        nonlocal last
        if time.monotonic() - last < _SECONDS_BETWEEN_LINES and now_done != total:
            return
        last = time.monotonic()
        speed = rate(now_done)
        left = (total - now_done) / speed if speed else 0
        pace = f"{speed * examples:,.0f} examples/s, {left:.0f} s left" if speed else "compiled"
        print(f"{now_done}/{total}  {text}  {pace}", flush=True)

    if not console.is_terminal:
        with say_if_slow(f"{done}/{total}  compiling, or computing the first of them") as is_told:

            def tell(now_done, text):
                is_told()
                line(now_done, text)

            yield tell
        return
    columns = (
        BarColumn(bar_width=20),
        TextColumn("{task.completed:.0f}/{task.total:.0f}  {task.description}"),
        TextColumn("{task.fields[rate]:,.0f} examples/s, left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("compiling", total=total, completed=done, rate=0)
        yield lambda now_done, text: bar.update(
            task, completed=now_done, description=text, rate=rate(now_done) * examples
        )


@contextlib.contextmanager
def say_if_slow(text: str, seconds: float = 20.0) -> Iterator[Callable[[], None]]:
    """Print a line if the context takes longer than so many seconds; yields what prevents it."""
    timer = threading.Timer(seconds, say, [text])
    timer.daemon = True  # it must not keep a program alive that has failed
    timer.start()
    try:
        yield timer.cancel
    finally:
        timer.cancel()


def track(description: str, batch_size: int) -> Callable[[Sequence], Iterable]:
    """Return a function that wraps a sequence of batches with a progress bar of that name."""

    def wrap(batches):
        with progress_bar(len(batches), 0, batch_size) as update:
            for done, batch in enumerate(batches):
                yield batch
                update(done + 1, description)

    return wrap


def track_if_long(
    description: str, batch_size: int, seconds: float = 2.0
) -> Callable[[Sequence], Iterable]:
    """Return what `track` does, but for work that ends within so many seconds: it stays silent."""

    def wrap(batches):
        begin, left, done = math.inf, iter(batches), 0
        while done < len(batches) and time.monotonic() - begin < seconds:
            yield next(left)
            done += 1
            begin = min(begin, time.monotonic())  # the first batch may have been compiled
        if done < len(batches):
            with progress_bar(len(batches), done, batch_size) as update:
                for batch in left:
                    yield batch
                    done += 1
                    update(done, description)

    return wrap


@contextlib.contextmanager
def deferred_stop(
    numbers: Sequence[int] = (signal.SIGINT, signal.SIGTERM),
) -> Iterator[Callable[[], bool]]:
    """Let signals, Ctrl-C and SIGTERM, ask for a stop instead of tearing the work apart.

    Yields stop_requested(). A second signal acts as it did before. Beside the main thread, where
    Python handles no signals, nothing is changed.
    """
    requested = []
    previous = {}

    def request(number, frame):
        requested.append(number)
        signal.signal(number, previous[number])

    if threading.current_thread() is threading.main_thread():
        for number in numbers:
            previous[number] = signal.signal(number, request)
    try:
        yield lambda: bool(requested)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def print_numbers(title: str, numbers: Mapping[str, Any]) -> None:
    """Print those numbers that have a label as a table, one per row."""
    table = Table(title=title, title_justify="left", show_header=False)
    for name, (label, form) in _LABELS.items():
        if name in numbers:
            table.add_row(label, format_number(numbers[name], form))
    console.print(table)


def format_number(value: Any, form: str) -> str:
    """Return a number as text, or of None the word that stands for a member that failed."""
    return "failed" if value is None else format(value, form)
