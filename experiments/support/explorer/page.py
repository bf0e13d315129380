"""The page: one HTML file that holds its style, its scripts, the model and what is shown."""

import base64
from collections.abc import Mapping
import html
import json
from pathlib import Path
import re
from typing import Any

import numpy as np

from vae_jax.lookup import name_of
from vae_jax.model import Model

_FOLDER = Path(__file__).parent
_SCRIPTS = (
    "decoder.js",
    "elements.js",
    "pictures.js",
    "latent_map.js",
    "latent_space.js",
    "trade_off.js",
    "page.js",
)


def make_page(
    model: Model, decoder: Mapping[str, Any], weights: np.ndarray, content: Mapping[str, Any]
) -> str:
    """Return the HTML, which asks for nothing outside of it.

    Args:
      model: named in the title.
      decoder, weights: of `describe_decoder`.
      content: of `make_content`.
    """
    scripts = "\n".join((_FOLDER / name).read_text() for name in _SCRIPTS)
    told = content | {"decoder": decoder | {"weights": weights}}
    parts = {
        "title": html.escape(f"{model.dataset.name}: a variational autoencoder"),
        "model": html.escape(describe_model(model)),
        "style": (_FOLDER / "style.css").read_text(),
        # No text in it can end the script.
        "content": json.dumps(told, default=_encode).replace("<", "\\u003c"),
        "scripts": scripts,
    }
    template = (_FOLDER / "page.html").read_text()
    return re.sub(r"<!-- (\w+) -->", lambda match: parts[match[1]], template)


def describe_model(model: Model) -> str:
    """Return one line: data, decoder, latents, likelihood and what was measured."""
    arguments = model.vae.arguments
    names = [name_of(arguments[name]) for name in ("network", "prior", "likelihood")]
    network, prior, likelihood = (name.replace("_", " ") for name in names)
    texts = [
        f"{model.dataset.protocol}",
        f"network {network}, {arguments['latent_dim']} latents, prior {prior}, p(x|z) {likelihood}",
    ]
    nll = model.metadata.get("numbers", {}).get("nll")
    given = "|y" if model.vae.condition else ""
    texts += [f"\u2212log p(x{given}) of the test set {nll:.1f} nats"] if nll else []
    return "; ".join(texts)


def _encode(value: Any) -> Any:
    # Arrays as the bytes of float32, int32 or uint8, little-endian.
    if isinstance(value, np.generic):
        return value.item()
    kinds = {"f": "<f4", "i": "<i4", "u": "|u1"}
    array = np.ascontiguousarray(value, kinds[np.asarray(value).dtype.kind])
    return {"type": array.dtype.kind, "base64": base64.b64encode(array.tobytes()).decode()}
