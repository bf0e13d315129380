"""Make and execute the notebooks from their sources: python -m docs.make_notebooks [NAME ...]

notebooks/NAME.py (jupytext's py:percent) is what is written and reviewed; notebooks/NAME.ipynb is
made of it here, executed, with its pictures. Cells are numbered and times left out, so that what
did not change stays the same.
"""

import os
from pathlib import Path
import sys
import time
from typing import Any

import jupytext
from nbclient import NotebookClient
import nbformat

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def make_notebook(source: Path) -> Any:
    """Return the notebook of a source, not executed yet."""
    notebook = jupytext.read(source, fmt="py:percent")
    notebook.metadata = nbformat.from_dict(_METADATA)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:02}"
    notebook.nbformat_minor = 5  # the first version whose cells have an id
    return notebook


def execute(notebook: Any, folder: Path) -> None:
    """Run all cells in `folder`, in place, with the package of this checkout.

    Raises:
      nbclient.exceptions.CellExecutionError: an error in a cell.
    """
    where = {"metadata": {"path": str(folder)}}
    options = {"timeout": 600, "record_timing": False, "coalesce_streams": True}
    paths = [str(NOTEBOOKS.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    NotebookClient(notebook, resources=where, **options).execute(env=env)
    notebook.metadata = nbformat.from_dict(_METADATA)  # without the version of this Python
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not is_widget(output)]


def is_widget(output: Any) -> bool:
    """Return whether an output is a widget, which without the kernel that made it is nothing."""
    return "application/vnd.jupyter.widget-view+json" in output.get("data", {})


def main(names: list[str]) -> None:
    """Make the named notebooks, or all, and print what each takes."""
    for source in sorted(NOTEBOOKS.glob("*.py")):
        if names and source.stem not in names:
            continue
        start, notebook = time.perf_counter(), make_notebook(source)
        execute(notebook, NOTEBOOKS)
        target = source.with_suffix(".ipynb")
        nbformat.write(notebook, target)
        size = target.stat().st_size / 1e6
        print(f"{target.name}: {time.perf_counter() - start:.0f} s, {size:.2f} MB", flush=True)


if __name__ == "__main__":
    main([Path(name).stem for name in sys.argv[1:]])
