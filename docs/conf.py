"""How the documentation is built: see CONTRIBUTING.md.

The sources are Markdown pages, the README, the notebooks as they are kept (nothing is executed),
and the docstrings of vae_jax.
"""

from pathlib import Path
import re
import sys

import jax
from sphinx.ext.napoleon import GoogleDocstring

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
# Not jaxlib._jax.Array, in annotations.
jax.Array.__name__ = jax.Array.__qualname__ = "Array"

project = "vae_jax"
author = copyright = "the vae_jax developers"
root_doc = "docs/index"
include_patterns = [
    "docs/**",
    "notebooks/*.ipynb",
    "benchmarks/README.md",
    "README.md",
    "CHANGELOG.md",
]
exclude_patterns = ["docs/_build", "docs/api/modules.rst"]
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.apidoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
html_theme = "furo"
html_title = "vae_jax"

nb_execution_mode = "off"
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3

apidoc_modules = [
    {
        "path": "../vae_jax",
        "destination": "docs/api",
        "separate_modules": True,
        "module_first": True,
    }
]
autodoc_default_options = {"ignore-module-all": True}  # a name is described where it is defined
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_google_docstring = napoleon_numpy_docstring = False  # `plain_text` calls it
default_role = "code"
smartquotes = False

_SECTIONS = ("Args:", "Returns:", "Raises:", "Attributes:", "Yields:", "Note:", "Example:")
_FIELD = re.compile(r"(Formula|Estimates|Source|Use): ")


def write_names(app):
    """Write the table of the names that `import vae_jax` gives, with the place of each."""
    import vae_jax

    public = [getattr(vae_jax, name) for name in vae_jax.__all__]
    paths = sorted(f"{each.__module__}.{each.__name__}" for each in public if callable(each))
    text = ["Public names", "============", "", ".. autosummary::", ""]
    path = Path(__file__).parent / "api" / "names.rst"
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(text + [f"   {each}" for each in paths]) + "\n")


def plain_text(app, what, name, obj, options, lines):
    """Make reStructuredText of a docstring: formulas as they stand, indented lines as code.

    A line `Formula: ...`, and the indented lines that go on with it, is a field of a list.
    """
    made, block = [], "text"  # or "section", "code", "field"
    for line in lines:
        previous, block = block, _block_of(line, block, bool(made) and not made[-1].strip())
        if block != previous:
            made += {"code": ["::", ""], "field": [""]}.get(block, [])
        made.append(line if block == "code" else _escape(line, block))
    if what not in ("attribute", "data", "property"):  # there it takes words for types
        made = GoogleDocstring(made, app.config, app, what, name, obj, options).lines()
    lines[:] = made


def _block_of(line, block, after_blank):
    """Return what a line belongs to, given what the line before it belonged to."""
    if not line.strip():
        return block
    indent = len(line) - len(line.lstrip())
    if indent == 0:
        if line.strip() in _SECTIONS:
            return "section"
        return "field" if _FIELD.match(line) else "text"
    return "code" if indent >= 4 and after_blank and block == "text" else block


def _escape(line, block):
    """Return the line with a backslash before what is markup, outside of backquotes."""
    parts = re.split(r"(`+[^`]*`+)", line)
    line = "".join(
        part if part.startswith("`") else re.sub(r"([|*\\]|_\b)", r"\\\1", part) for part in parts
    )
    return re.sub(r"^(\w+):", r":\1:", line) if block == "field" else line


def setup(app):
    """Join the hooks."""
    app.connect("builder-inited", write_names)
    app.connect("autodoc-process-docstring", plain_text)
