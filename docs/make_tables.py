"""Write the tables of rows and options: python -m docs.make_tables

docs/options.md, docs/objectives.md and docs/disentanglement.md are made whole, of README.md what
stands between `<!-- table: ... -->` and `<!-- end -->`. They come from the tables of the package
(names, docstrings, signatures) and from the comments of configs/default.py; the table of published
figures, and the picture docs/results.png, from the files of results/.
"""

from collections.abc import Iterator, Mapping
import functools
import json
from pathlib import Path
import re
from typing import Any

from experiments.reproduce import gain_of, limits_of, number_of, rows, verdict_of
from vae_jax.evaluation.disentanglement import METRICS, PROTOCOLS
from vae_jax.lookup import doc_of, option_meanings, options_of, summary_of
from vae_jax.objectives import ESTIMATORS, OBJECTIVES, objectives_with
from vae_jax.tables import TABLES

ROOT = Path(__file__).parents[1]

_HEADINGS = {
    "data": "Data",
    "vae": "Model: q(z|x), p(z) and p(x|z)",
    "objective": "Objective",
    "optimizer": "Optimizer",
    "objective_optimizer": "Optimizer of the objective's own parameters",
}
_INTRODUCTION = """# Every field of a config

A field is set on the command line as `--config.block.field=value`, or in a file of `configs/`.
Some fields name a row of a table; a row may have options, which are fields of the same block. An
option that is not set has the default given here. An option that no chosen row takes is refused.

This page is made by `python -m docs.make_tables`.
"""


_OBJECTIVES_INTRODUCTION = """# Objectives and gradient estimators

Every number is in nats and larger when better. z_1 .. z_K are samples of q(z|x), and
log w_k = log p(x, z_k) - log q(z_k|x). `--config.objective.name` chooses the objective and
`--config.objective.estimator` how its gradient is estimated; `docs/options.md` lists their options.
{cost}

This page is made by `python -m docs.make_tables`.
"""
_DISENTANGLEMENT_INTRODUCTION = """# Disentanglement metrics

`vae_jax.evaluation.disentanglement.measure(name, key, codes, factors)` gives the scores: codes are
posterior means, (examples, codes), factors the index of each factor's value, (examples, factors).
Standard errors are those of the bootstrap over what is held out (200 resamples), without refitting;
importances of trees belong to the fit and have none.

This page is made by `python -m docs.make_tables`.
"""
_FACTS = ("Formula", "Estimates", "Source", "Use")
# Of objectives that do not train the model of configs/default.py.
_OWN_CONFIGS = {
    "concrete": "configs/concrete.py",
    "semi_supervised": "configs/semi_supervised.py",
}
_COSTS = ROOT / "benchmarks" / "objectives.json"


def objectives_page() -> str:
    """Return the text of docs/objectives.md."""
    costs = json.loads(_COSTS.read_text()) if _COSTS.exists() else {}
    sections = [_OBJECTIVES_INTRODUCTION.format(cost=costs.get("what", ""))]
    for name, row in OBJECTIVES.items():
        cost = costs.get("objectives", {}).get(name)
        sections.append(describe_facts(name, row, command_of(name), cost))
    sections.append("## Gradient estimators")
    for name, row in ESTIMATORS.items():
        cost = costs.get("estimators", {}).get(name)
        takers = objectives_with(name)
        options = f" --config.objective.estimator={name} --config.objective.num_samples=8"
        text = describe_facts(name, row, command_of(takers[0]) + options, cost)
        sections.append(f"{text}\n* Objectives: {', '.join(takers)}")
    return "\n\n".join(section.strip() for section in sections) + "\n"


def describe_facts(name: str, row: Any, command: str, cost: float | None) -> str:
    """Return the section of one row: what it is, its formula, source, command, cost and use."""
    facts = facts_of(row)
    lines = [f"## `{name}`", "", f"{summary_of(row)}.", ""]
    lines.append(f"* Formula: `{facts.pop('Formula')}`")
    lines += [f"* {fact}: {text}" for fact, text in facts.items()]
    lines.append(f"* Command: `{command}`")
    if cost is not None:
        lines.append(f"* Relative cost: {cost:.2f}")
    return "\n".join(lines)


def command_of(objective: str) -> str:
    """Return the command that trains this objective on the digits."""
    if objective in _OWN_CONFIGS:
        return f"python -m experiments.train --config={_OWN_CONFIGS[objective]}"
    start = "python -m experiments.train --config=configs/default.py"
    return f"{start} --config.objective.name={objective}"


def facts_of(row: Any) -> dict[str, str]:
    """Return {fact: text} of the lines "Fact: text" of a row's docstring."""
    body = doc_of(row).partition("Args:\n")[0]
    found = re.findall(r"^(\w+): (.*(?:\n  .*)*)", body, re.MULTILINE)
    return {fact: " ".join(text.split()) for fact, text in found if fact in _FACTS}


def options_page() -> str:
    """Return the text of docs/options.md."""
    fields = dict(default_fields())
    places: dict[int, str] = {}  # where a table stands that several fields name
    sections = [_INTRODUCTION, "## The whole run", field_list("config", fields["config"])]
    for block, tables in TABLES.items():
        sections += [f"## {_HEADINGS[block]}: `config.{block}`", field_list(block, fields[block])]
        for field, table in tables.items():
            sections.append(f"### `{block}.{field}`")
            place = places.setdefault(id(table), f"{block}.{field}")
            if place == f"{block}.{field}":
                sections += map(describe_row, table, table.values())
            else:
                sections.append(f"The rows of `{place}`, with their options.")
    for block in [name for name in fields if name not in TABLES and name != "config"]:
        sections += [f"## `config.{block}`", field_list(block, fields[block])]
    return "\n\n".join(section.strip() for section in sections) + "\n"


def disentanglement_page() -> str:
    """Return the text of docs/disentanglement.md: the metrics, their options and protocols."""
    sections = [_DISENTANGLEMENT_INTRODUCTION]
    for name, row in METRICS.items():
        body = doc_of(row).partition("Args:\n")[0].partition("\n")[2].strip()
        summary, *options = describe_row(name, row).split("\n")
        sections += [f"{summary}\n\n{body}", "\n".join(each.strip() for each in options)]
    for name, changed in PROTOCOLS.items():
        changes = [
            f"{metric} {option} = {value!r}"
            for metric, options in changed.items()
            for option, value in options.items()
        ]
        what = ", ".join(changes) or "the defaults above, which are the papers' numbers"
        sections.append(f"* Protocol **`{name}`**: {what}.")
    return "\n\n".join(section.strip() for section in sections) + "\n"


def default_fields() -> Iterator[tuple[str, dict[str, tuple[str, str]]]]:
    """Yield (block, {field: (default, meaning)}) of what configs/default.py writes out."""
    text = (ROOT / "configs" / "default.py").read_text()
    blocks: dict[str, dict[str, tuple[str, str]]] = {}
    pattern = r"^    (\w+)\.(\w+) = (.*?)  # (.*(?:\n    # .*)*)$"
    for block, field, default, comment in re.findall(pattern, text, re.MULTILINE):
        default = "unset" if default.startswith("config_dict.placeholder") else default
        blocks.setdefault(block, {})[field] = (default, re.sub(r"\n    # ", " ", comment))
    yield from blocks.items()


def field_list(block: str, fields: Mapping[str, tuple[str, str]]) -> str:
    """Return a table of the fields that a block always has."""
    rows = [
        f"| `{name}` | `{default}` | {_cell(text)} |" for name, (default, text) in fields.items()
    ]
    return "\n".join(["| field | default | meaning |", "|---|---|---|", *rows])


def describe_row(name: str, row: Any) -> str:
    """Return a row's name, what it is, and its options."""
    meanings = option_meanings(row)
    lines = [f"* **`{name}`**: {summary_of(row)}."]
    for option, default in options_of(row).items():
        lines.append(f"  * `{option}` = `{default!r}`: {meanings[option].rstrip('.')}.")
    return "\n".join(lines)


def row_table(block: str, field: str) -> str:
    """Return the README's table of one field: names of rows, what they are, their options."""
    lines = [f"| `--config.{block}.{field}` | what it is | its options |", "|---|---|---|"]
    for name, row in TABLES[block][field].items():
        options = ", ".join(f"`{option}`" for option in options_of(row))
        lines.append(f"| `{name}` | {_cell(summary_of(row))} | {options} |")
    return "\n".join(lines)


def results_table() -> str:
    """Return the README's table of published figures and what came out here, in nats."""
    lines = ["| `configs/papers/` | published | here | seeds | steps | verdict |"]
    lines.append("|---|---|---|---|---|---|")
    for name, row in sorted(rows().items()):
        published = row.PUBLISHED
        stated = f"{published['metric']} {published['value']}, {published['source']}"
        stated += "" if published["is_verified"] else " (not verified)"
        kept = ROOT / "results" / f"{name}.json"
        lines.append(f"| `{name}` | {stated} | {_result(kept, row)} |")
    return "\n".join(lines)


def _result(path, row):
    if not path.exists():
        return "not run yet | | |"
    result = json.loads(path.read_text())
    steps = f"{result['steps']:,}" if "steps" in result else ""
    verdict = verdict_of(row, result)
    return f"{number_of(result)} | {len(result['per_seed'])} | {steps} | {verdict}"


def draw_results() -> Any:
    """Draw how far our figures are from the published ones, in nats, with two standard errors."""
    from matplotlib.figure import Figure

    kept = {name: ROOT / "results" / f"{name}.json" for name in rows()}
    results = {name: json.loads(path.read_text()) for name, path in kept.items() if path.exists()}
    judged = {
        name: (row, results[name])
        for name, row in sorted(rows().items(), reverse=True)
        if name in results and verdict_of(row, results[name])
    }
    figure = Figure(figsize=(8.0, 0.42 * len(judged) + 1.5), dpi=120, layout="constrained")
    axes = figure.subplots()
    write = functools.partial(axes.annotate, fontsize=9)
    for place, (row, result) in enumerate(judged.values()):
        published, (match, deviation) = row.PUBLISHED, limits_of(row)
        axes.barh(place, 2 * match, left=-match, height=0.8, color="0.92", zorder=0)
        axes.errorbar(0, place, xerr=2 * deviation, fmt="D", color="0.55", capsize=3, markersize=5)
        color = "C0" if published["is_verified"] else "C7"
        axes.errorbar(
            gain_of(row, result),
            place,
            xerr=2 * result["standard_error"],
            fmt="o",
            color=color,
            capsize=3,
        )
        numbers = f"{abs(published['value']):.2f}    {number_of(result).lstrip('-')}"
        write(numbers, (1.02, place), xycoords=("axes fraction", "data"), va="center")
    write("published    ours", (1.02, 1.0), xycoords="axes fraction", va="bottom")
    axes.set_yticks(range(len(judged)), judged)
    axes.set_xlabel("worse     <     nats from the published figure     >     better")
    axes.set_title(
        "Ours: dots. Published: diamonds. Bars: two standard errors", loc="left", size=10
    )
    return figure


def pair_table() -> str:
    """Return the README's table of which priors are over the latents of which posteriors."""
    posteriors, priors = TABLES["vae"]["posterior"], TABLES["vae"]["prior"]
    lines = ["| latents | `--config.vae.posterior` | `--config.vae.prior` |", "|---|---|---|"]
    for values in dict.fromkeys(row.values for row in posteriors.values()):
        left = ", ".join(f"`{name}`" for name, row in posteriors.items() if row.values == values)
        right = ", ".join(f"`{name}`" for name, row in priors.items() if values in row.values)
        lines.append(f"| {values} | {left} | {right} |")
    return "\n".join(lines)


def fill_tables(text: str) -> str:
    """Return a page with the tables between its markers made anew."""

    def fill(match):
        what = match["what"]
        special = {"pairs": pair_table, "results": results_table}
        table = special[what]() if what in special else row_table(*what.split("."))
        return f"{match['start']}\n\n{table}\n\n{match['end']}"

    pattern = r"(?P<start><!-- table: (?P<what>[\w.]+) -->).*?(?P<end><!-- end -->)"
    return re.sub(pattern, fill, text, flags=re.DOTALL)


def _cell(text):
    return text.replace("|", "\\|")


def main() -> None:
    """Write the pages and the picture."""
    (ROOT / "docs" / "options.md").write_text(options_page())
    (ROOT / "docs" / "objectives.md").write_text(objectives_page())
    (ROOT / "docs" / "disentanglement.md").write_text(disentanglement_page())
    readme = ROOT / "README.md"
    readme.write_text(fill_tables(readme.read_text()))
    # The table within the picture tells which results it shows.
    source = {"Source": results_table()}
    draw_results().savefig(ROOT / "docs" / "results.png", metadata=source)


if __name__ == "__main__":
    main()
