"""Event files for TensorBoard: metrics, config and pictures, in workdir/tensorboard.

`tensorboard --logdir=runs` shows all runs of a folder, also while they train.
"""

from collections.abc import Mapping, Sequence
import functools
import math
from pathlib import Path
import struct
import sys
import time
from typing import Any
from unittest import mock

from experiments.support import run_folder

# tensorboardX (0.1 s) brings the formats; it is imported where an event is made, so that programs
# that make none do not pay. Its SummaryWriter is not used: what its thread and queue still hold is
# lost at a kill, and a full disk shows as a traceback of the thread. Here an event is in the file
# when the function returns, as a line is in metrics.jsonl.


def start(workdir: Path, members: Sequence[str]) -> None:
    """Write the event file of a run that starts or goes on: config, and the metrics so far.

    Args:
      workdir: holds config.json and, of a run that goes on, a metrics.jsonl that is cut already.
      members: their names, which become part of the tags where there are several.
    """
    # Made anew from metrics.jsonl, which is exact, the file has each point once, whatever ended the
    # run before. A second file that begins by tensorboardX's purge_step would leave it to the
    # reader to drop points, and have the pictures of a finished run twice. It costs the points of
    # before their time of day.
    folder = workdir / "tensorboard"
    folder.mkdir(exist_ok=True)
    path, old = folder / f"events.out.tfevents.{time.time_ns()}", _event_files(folder)
    lines = run_folder.read_metrics(workdir / "metrics.jsonl")
    events = [
        {"file_version": "brain.Event:2"},
        # It tells a TensorBoard that has read the old file to forget what is going to come again.
        {"session_log": {"status": "START"}},
        {"summary": config_summary((workdir / "config.json").read_text())},
        *(metrics_event(line, members) for line in lines),
    ]
    path.write_bytes(b"".join(map(record, events)))
    for each in old:
        each.write_bytes(b"")  # deleted, it would stall a TensorBoard that is reading it


def append_metrics(workdir: Path, line: Mapping[str, Any], members: Sequence[str]) -> None:
    """Append one line of metrics.jsonl."""
    _append(workdir, metrics_event(line, members))


def append_pictures(workdir: Path, step: int) -> None:
    """Append every PNG file of workdir/figures, under its path."""
    for path in sorted((workdir / "figures").rglob("*.png")):
        png = path.read_bytes()
        width, height = struct.unpack(">II", png[16:24])  # of the header that begins every PNG file
        image = {"width": width, "height": height, "colorspace": 4, "encoded_image_string": png}
        tag = path.relative_to(workdir).with_suffix("").as_posix()
        _append(workdir, {"step": step, "summary": {"value": [{"tag": tag, "image": image}]}})


def write_hparams(
    workdir: Path,
    members: Mapping[str, tuple[Mapping[str, Any], Mapping[str, float]]],
    step: int,
) -> None:
    """Write what the tab HParams shows: a session for each member, in a folder of its name.

    Args:
      workdir: of the run.
      members: {name of its folder: (its fields of the config, its numbers of the test set)}.
      step: at which the numbers were measured.
    """
    _, _, make_summaries = _event_format()
    for name, (fields, numbers) in members.items():
        tags = {f"test/{each}": value for each, value in numbers.items() if math.isfinite(value)}
        shown = {each: str(v) if isinstance(v, tuple) else v for each, v in fields.items()}
        experiment, begin, end = make_summaries(shown, tags)
        values = [{"tag": tag, "simple_value": value} for tag, value in tags.items()]
        events = [
            {"file_version": "brain.Event:2"},
            *({"summary": each} for each in (experiment, begin)),
            {"step": step, "summary": {"value": values}},
            {"summary": end},
        ]
        folder = workdir / "tensorboard" / name
        folder.mkdir(parents=True, exist_ok=True)
        # Of one name: a measurement takes the place of the one before.
        (folder / "events.out.tfevents.0.hparams").write_bytes(b"".join(map(record, events)))


def metrics_event(line: Mapping[str, Any], members: Sequence[str]) -> dict[str, Any]:
    """Return the event of one line of metrics.jsonl."""
    values = [{"tag": tag, "simple_value": value} for tag, value in scalars(line, members).items()]
    return {"step": line["step"], "summary": {"value": values}}


def scalars(line: Mapping[str, Any], members: Sequence[str]) -> dict[str, float]:
    """Return {tag: number} of a line of metrics.jsonl, in its units.

    Tags are "train/elbo" of a single member and "train/elbo/seed=0" of several; those that failed
    have none.
    """
    numbers = {}
    for name in line.keys() - {"step", "split"}:
        tag, value = f"{line['split']}/{name}", line[name]
        if isinstance(value, Mapping):
            tags = [f"{tag}/{member}" for member in members]
            numbers |= dict(zip(tags, value["members"], strict=True))
        else:
            numbers[tag] = value
    return {tag: numbers[tag] for tag in sorted(numbers) if numbers[tag] is not None}


def config_summary(config: str) -> dict[str, Any]:
    """Return the summary that shows config.json as text; Markdown leaves indented lines alone."""
    text = "\n".join(f"    {line}" for line in config.splitlines())
    tensor = {"dtype": "DT_STRING", "string_val": [text.encode()], "tensor_shape": {}}
    metadata = {"plugin_data": {"plugin_name": "text"}}
    return {"value": [{"tag": "config/text_summary", "metadata": metadata, "tensor": tensor}]}


def record(event: Mapping[str, Any]) -> bytes:
    """Return an event, as of now, as it stands in the file: length, content, checksum of each."""
    make_event, masked_crc32c, _ = _event_format()
    content = make_event(wall_time=time.time(), **event).SerializeToString()
    parts = struct.pack("<Q", len(content)), content
    return b"".join(part + struct.pack("<I", masked_crc32c(part)) for part in parts)


@functools.cache  # leaving the context forgets the modules: each record would import them again
def _event_format():
    # The package imports torch where that is installed: a second and 200 MB for nothing.
    with mock.patch.dict(sys.modules, {"torch": None}):
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.record_writer import masked_crc32c
        from tensorboardX.summary import hparams
    return Event, masked_crc32c, hparams


def _event_files(folder):
    return [path for path in folder.iterdir() if path.is_file()]


def _append(workdir, event):
    path = max(_event_files(workdir / "tensorboard"))
    with path.open("ab") as file:
        file.write(record(event))
