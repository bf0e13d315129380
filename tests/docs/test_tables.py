"""The tables of docs/options.md and README.md are those that the package's tables give."""

import json
import re

from PIL import Image
import pytest

from docs import make_tables
from vae_jax.objectives import ESTIMATORS, OBJECTIVES

REMEDY = "run python -m docs.make_tables"


def test_pages_are_made_anew():
    readme = (make_tables.ROOT / "README.md").read_text()
    assert make_tables.fill_tables(readme) == readme, REMEDY
    assert (make_tables.ROOT / "docs" / "options.md").read_text() == make_tables.options_page(), (
        REMEDY
    )
    assert (make_tables.ROOT / "docs" / "objectives.md").read_text() == (
        make_tables.objectives_page()
    ), REMEDY
    assert (make_tables.ROOT / "docs" / "disentanglement.md").read_text() == (
        make_tables.disentanglement_page()
    ), REMEDY


def test_picture_is_of_the_results():
    """Mutants: a picture older than its table, a difference with the wrong sign."""
    with Image.open(make_tables.ROOT / "docs" / "results.png") as picture:
        assert picture.text["Source"] == make_tables.results_table(), REMEDY
    axes = make_tables.draw_results().axes[0]
    shown = [label.get_text() for label in axes.get_yticklabels()]
    result = json.loads((make_tables.ROOT / "results" / "burda_vae_k1.json").read_text())
    better = result["published"]["value"] - result["mean"]
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    assert dots[shown.index("burda_vae_k1")].get_xdata() == pytest.approx([better])


@pytest.mark.parametrize("row", [*OBJECTIVES.items(), *ESTIMATORS.items()], ids=lambda row: row[0])
def test_every_objective_and_estimator_tells_what_the_page_wants(row):
    """Mutant: a row without its source."""
    facts = make_tables.facts_of(row[1])
    assert list(facts) == ["Formula", "Estimates", "Source", "Use"]
    assert re.search(r"\((19|20)\d\d[,)]|\(19|20\d\d\)", facts["Source"])


def test_page_names_every_field_of_the_default_config():
    """Read from the config itself, not from the source that the page is made of."""
    from configs import default

    page = (make_tables.ROOT / "docs" / "options.md").read_text()
    config = default.get_config()
    fields = {name for name, value in config.items() if not hasattr(value, "items")}
    for block in config.values():
        fields |= set(block) if hasattr(block, "items") else set()
    assert fields - set(re.findall(r"`(\w+)`", page)) == set()


def test_a_stale_table_is_noticed():
    readme = (make_tables.ROOT / "README.md").read_text()
    stale = readme.replace("| `poisson` |", "| `poison` |")
    assert stale != readme
    assert make_tables.fill_tables(stale) != stale
