"""The table of the report on likelihood."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from experiments.support import console


def show(content: Mapping[str, Any]) -> None:
    """Print the table: a column per member, means in nats with their standard errors."""
    members = {name: each for name, each in content["members"].items() if each is not None}
    title = f"{content['protocol']} (test set; nats per example; +- standard error over samples)"
    table = Table(title=title, title_justify="left", show_header=len(content["members"]) > 1)
    table.add_column("")
    for name in members:
        table.add_column(escape(name), justify="right")
    columns = [_rows(content, each) for each in members.values()]
    for label in dict.fromkeys(label for column in columns for label in column):
        table.add_row(label, *(column.get(label, "") for column in columns))
    console.console.print(table)
    for line in dict.fromkeys(line for each in members.values() for line in _left_out(each)):
        console.say(line)
    for name in content["members"]:
        if name not in members:
            console.say(f"{name} failed: not measured")


def _left_out(numbers: Mapping[str, Any]) -> Sequence[str]:
    parts = (numbers["annealed"], numbers["gaps"])
    return [f"left out: {part['left_out']}" for part in parts if "left_out" in part]


def _rows(content: Mapping[str, Any], numbers: Mapping[str, Any]) -> dict[str, str]:
    # {label: cell} of one member.
    last, images = numbers["nll"][-1], content["images"]
    rows = {"test ELBO": f"{numbers['elbo']['mean']:.2f}"}
    for each in numbers["nll"]:
        rows[f"-log p(x), K = {each['num_samples']:,}"] = _cell(each)
    rows["  its standard error over examples"] = _number(last["standard_error_over_examples"])
    rows[f"jackknife, K = {last['num_samples']:,}"] = _cell(numbers["jackknife"][-1])
    sizes, ks = numbers["effective_sample_size"], numbers["pareto_k"]
    rows["effective sample size: median, smallest"] = (
        f"{sizes['median']:.0f}, {sizes['smallest']:.1f}"
    )
    if ks["median"] is not None:
        above = f"{ks['share_above_threshold']:.0%} above {ks['threshold']:.2f}"
        rows["Pareto k: median, largest"] = f"{ks['median']:.2f}, {ks['largest']:.2f}; {above}"
    if "nll" in numbers["annealed"]:
        rows[f"annealed, {images} images: -log p(x)"] = _cell(numbers["annealed"]["nll"])
        rows["  below that of the largest K"] = _cell(numbers["annealed"]["less_than_nll"])
        rows["data of the model: log p(x) from"] = _cell(numbers["simulated"]["lower"])
        rows["  to"] = _cell(numbers["simulated"]["upper"])
        rows["  width"] = _cell(numbers["simulated"]["width"])
    for name, label in {
        "total_gap": f"log p(x) - ELBO, {images} images",
        "approximation_gap": "  approximation gap",
        "amortization_gap": "  amortization gap",
    }.items():
        if name in numbers["gaps"]:
            rows[label] = _cell(numbers["gaps"][name])
    rows["seconds"] = f"{sum(numbers['seconds'].values()):.0f}"
    return rows


def _cell(number: Mapping[str, float | None]) -> str:
    return f"{_number(number['mean'])} +- {_number(number['standard_error_over_samples'])}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
