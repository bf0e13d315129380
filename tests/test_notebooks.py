"""Every notebook is kept executed, is that of its source, and begins as the others do.

`.ci/run` executes them (nbmake).
"""

from pathlib import Path
import subprocess

from matplotlib import pyplot
from nbclient.exceptions import CellExecutionError
import nbformat
import pytest

from docs.make_notebooks import NOTEBOOKS, execute, is_widget, make_notebook

NAMES = sorted({path.stem for path in NOTEBOOKS.iterdir() if path.suffix in {".py", ".ipynb"}})
MAX_BYTES = 1_500_000


@pytest.fixture(scope="module", params=NAMES)
def pair(request):
    """(the notebook that its source makes, the notebook that is kept)."""
    source = NOTEBOOKS / f"{request.param}.py"
    return make_notebook(source), nbformat.read(source.with_suffix(".ipynb"), 4)


def test_a_notebook_is_that_of_its_source(pair):
    """Mutants: either file edited alone; a cell that is left out."""
    made, kept = pair
    nbformat.validate(kept)
    assert [(cell.id, cell.cell_type, cell.source) for cell in kept.cells] == [
        (cell.id, cell.cell_type, cell.source) for cell in made.cells
    ], "make it anew by python -m docs.make_notebooks"


def test_a_notebook_is_kept_executed(pair):
    """From the first cell to the last, without errors or warnings, with pictures. Mutants: outputs
    stripped; one cell executed alone; a warning printed; a widget, whose kernel is gone."""
    _, kept = pair
    cells = [cell for cell in kept.cells if cell.cell_type == "code"]
    outputs = [output for cell in cells for output in cell.outputs]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not [output for output in outputs if output.output_type == "error"]
    assert not [output.text for output in outputs if output.get("name") == "stderr"]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not any(is_widget(output) for output in outputs)


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_small(name):
    assert (NOTEBOOKS / f"{name}.ipynb").stat().st_size < MAX_BYTES


def first_cell(name):
    return make_notebook(NOTEBOOKS / f"{name}.py").cells[0].source


def test_all_notebooks_begin_with_the_same_cell():
    """Mutant: the address of the repository written into one of them."""
    assert len({first_cell(name) for name in NAMES}) == 1


def run_first_cell(monkeypatch, address):
    """Run it as where vae_jax is not installed; return the commands that it would run."""
    commands = []
    monkeypatch.setattr(pyplot, "rcParams", {})
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(subprocess, "run", lambda command, check: commands.append(command))
    cell = first_cell(NAMES[0])
    assert 'REPOSITORY = ""' in cell
    exec(cell.replace('REPOSITORY = ""', f"REPOSITORY = {address!r}"), {})
    return commands


def test_the_first_cell_installs_the_project_from_the_address_in_it(monkeypatch):
    """Mutant: an address that is not used."""
    ((_, *command),) = run_first_cell(monkeypatch, "https://host/owner/name")
    assert command == ["-m", "pip", "install", "git+https://host/owner/name"]


def test_the_first_cell_asks_for_the_address_that_it_lacks(monkeypatch):
    """Mutant: `pip install git+`, which complains about something else."""
    with pytest.raises(ImportError, match="REPOSITORY above"):
        run_first_cell(monkeypatch, "")


@pytest.mark.slow
def test_execution_keeps_nothing_of_the_moment(tmp_path):
    """Two executions are the same file, by this checkout's package. Mutants: times of the cells or
    random ids kept; an installed package of another folder; a cell that fails."""
    source = tmp_path / "lesson.py"
    source.write_text("# %%\nimport vae_jax\n\nprint(vae_jax.__file__)\nprint(2)\n")
    texts = []
    for _ in range(2):
        notebook = make_notebook(source)
        execute(notebook, tmp_path)
        texts.append(nbformat.writes(notebook))
    ((output,),) = [cell.outputs for cell in notebook.cells]
    assert texts[0] == texts[1]
    assert Path(output.text.split()[0]).parents[1] == NOTEBOOKS.parent
    source.write_text("# %%\n1 / 0\n")
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        execute(make_notebook(source), tmp_path)
