"""Making a VAE: from the names of its rows, or for a data set."""

from collections.abc import Mapping
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.lookup import check_options, look_up, options_of, pick, take_options
from vae_jax.models.likelihoods import LIKELIHOODS, check_likelihood
from vae_jax.models.parts import ONLY, Field, Parts
from vae_jax.models.posteriors import POSTERIORS
from vae_jax.models.priors import PRIORS, check_pair
from vae_jax.models.vae import VAE, join_parts
from vae_jax.networks import LARGEST_SIZE, NETWORKS, Branches, check_sizes

# {name: (type of the layers' arithmetic, type of parameters and of all densities)}
PRECISIONS = {
    "float32": (jnp.float32, jnp.float32),
    "bfloat16": (jnp.bfloat16, jnp.float32),
    "float64": (jnp.float64, jnp.float64),
}
# {argument of make_vae: the table that it names a row of}
TABLES = {
    "network": NETWORKS,
    "posterior": POSTERIORS,
    "prior": PRIORS,
    "likelihood": LIKELIHOODS,
}


def make_vae(
    shape: tuple[int, ...] | Mapping[str, tuple[int, ...]],
    *,
    network: Any = "mlp",
    posterior: Any = "gaussian",
    prior: Any = "standard_normal",
    likelihood: Any = "bernoulli",
    latent_dim: int = 50,
    num_levels: int | tuple[int, ...] | Mapping[str, int | tuple[int, ...]] = 256,
    condition: int | tuple[int, ...] | None = None,
    masked: bool | Mapping[str, bool] = False,
    units: Any = None,
    precision: str = "float32",
    **options: Any,
) -> VAE:
    """Make a VAE from the names of q(z|x), p(z) and p(x|z), or from rows of one's own.

    Args:
      shape: of one example, or {field: shape}: each field then has an encoder and a decoder of
        its own, joined in one z.
      network: a row of NETWORKS; all fields must be images for a convolutional one.
      posterior: a row of POSTERIORS.
      prior: a row of PRIORS.
      likelihood: a row of LIKELIHOODS, or {field: row}.
      latent_dim: number of latent dimensions, or of discrete latent variables.
      num_levels: L of discrete values 0, 1 / (L - 1), ..., 1, or the numbers of classes of one-hot
        vectors that follow each other, or {field: one of them}.
      condition: what y is: None (the model has none), the number of classes of a label, or the
        shape of an array.
      masked: whether x is Masked(values, mask), whose entries of mask 0 are missing, or {field:
        whether that field is}.
      units: `datasets.Units` of values that are standardized, whose log-density is that of the
        data; or {field: Units or None}, or None.
      precision: a row of PRECISIONS; "bfloat16" applies to the layers only, "float64" needs
        `jax.config.update("jax_enable_x64", True)` before any array is made.
      **options: options of these rows, such as `hidden`, `flow_layers` or `likelihood_scale`.

    Raises:
      ValueError: an unknown name, an option that no chosen row takes, a number out of range, a
        shape that the network cannot take, a prior that is not over the posterior's latents, or
        float64 without x64.
    """
    arguments = {name: value for name, value in locals().items() if name != "options"}
    check_shape(shape)
    rows = _look_up_rows(shape, network, posterior, prior, likelihood, options)
    check_sizes(latent_dim=latent_dim)
    compute, storage = _look_up_precision(precision)
    pair = rows["network"](**take_options(rows["network"], options))
    check_pair(posterior, rows["posterior"].values, prior, condition is not None)
    q, p = (
        rows[name].make(latent_dim, pair.layers, **take_options(rows[name], options))
        for name in ("posterior", "prior")
    )
    fields = {
        name: Field(
            tuple(each),
            rows["likelihood"][name].values,
            rows["likelihood"][name].make(
                pick(num_levels, name), **take_options(rows["likelihood"][name], options)
            ),
            pick(masked, name),
            pick(units, name),
        )
        for name, each in _by_field(shape).items()
    }
    for field in fields.values():
        pair.check_shape(field.shape)
    parts = Parts(
        encoder=_make_encoder(pair, fields, q.num_outputs),
        decoders={name: pair.decoder(each.output_shape) for name, each in fields.items()},
        fields=fields,
        posterior=q,
        prior=p,
        latents=rows["posterior"].values,
        condition=condition,
        compute=compute,
        storage=storage,
    )
    return join_parts(parts)._replace(arguments=arguments | _with_defaults(rows, options))


def check_shape(shape: Any) -> None:
    """Refuse what is not the shape of one example.

    Raises:
      ValueError: with what was given.
    """
    shapes = shape if isinstance(shape, Mapping) else {"x": shape}
    for name, each in shapes.items():
        if not isinstance(each, tuple | list):
            raise ValueError(
                "shape must be that of one example, such as (28, 28, 1), or {field: such a "
                f"tuple}}; got {each!r}"
            )
        check_sizes(**{f"shape of {name}": each})
    if not shapes:
        raise ValueError("shape must name at least one field, got {}")


def _look_up_rows(shape, network, posterior, prior, likelihood, options):
    """Return {argument: row} ({field: row} for `likelihood`); refuse options that none takes."""
    fields = {name: pick(likelihood, name) for name in _by_field(shape)}
    chosen = [("network", network), ("posterior", posterior), ("prior", prior)]
    rows = {argument: look_up(TABLES[argument], name, argument) for argument, name in chosen}
    rows["likelihood"] = {
        field: look_up(LIKELIHOODS, name, "likelihood") for field, name in fields.items()
    }
    likelihoods = [("likelihood", name) for name in dict.fromkeys(fields.values())]
    check_options(options, chosen + likelihoods, TABLES)
    return rows


def _with_defaults(rows, options):
    """Return the options, with the defaults of those that are not given."""
    chosen = [rows["network"], rows["posterior"], rows["prior"], *rows["likelihood"].values()]
    return {name: value for row in chosen for name, value in options_of(row).items()} | options


def _by_field(shape):
    """Return {field: shape}; a single array is a field without a name."""
    return dict(sorted(shape.items())) if isinstance(shape, Mapping) else {ONLY: shape}


def _make_encoder(pair, fields, num_outputs):
    if tuple(fields) == (ONLY,):
        return pair.encoder(num_outputs)
    if not pair.layers.hidden:
        raise ValueError("hidden must name a layer, whose features join the fields; got ()")
    return Branches(pair.layers, pair.encoder, tuple(fields), num_outputs)


def _look_up_precision(precision):
    compute, storage = look_up(PRECISIONS, precision, "precision")
    if storage == jnp.float64 and not jax.config.jax_enable_x64:
        raise ValueError("precision='float64' needs jax.config.update('jax_enable_x64', True)")
    return compute, storage


def make_vae_for(
    dataset: Any,
    *,
    likelihood: Any = "",
    conditional: bool = False,
    **options: Any,
) -> VAE:
    """Make a VAE that fits a data set.

    Args:
      dataset: a `datasets.Dataset`.
      likelihood: a row of LIKELIHOODS, or {field: row}; "" for the data set's own.
      conditional: whether the model is given y: p(x|z,y), q(z|x,y), p(z|y).
      **options: further arguments of `make_vae`.

    Raises:
      ValueError: a likelihood that is not a density of the data, a condition that they do not
        have, or what `make_vae` raises.
    """
    if not hasattr(dataset, "fields"):
        raise ValueError(
            f"make_vae_for needs a data set, such as vae_jax.from_arrays(x), got "
            f"{type(dataset).__name__}"
        )
    return make_vae(
        dataset.shape,
        likelihood=choose_likelihood(dataset, likelihood),
        num_levels=dataset.by_field("num_levels"),
        condition=choose_condition(dataset) if conditional else None,
        masked=dataset.masked,
        units=dataset.by_field("units"),
        **options,
    )


def choose_likelihood(dataset: Any, likelihood: Any = "") -> Any:
    """Return the likelihood of each field of the data: the given one, or else its own.

    Raises:
      ValueError: a field that the data do not have, or a likelihood that is not a density of
        their values.
    """
    is_by_field = isinstance(likelihood, Mapping)
    if is_by_field and not set(likelihood) <= set(dataset.fields):
        raise ValueError(
            f"likelihood must name the fields of the data, {', '.join(dataset.fields)}; got "
            f"{', '.join(likelihood)}"
        )
    names = {}
    for field, values in dataset.fields.items():
        names[field] = (likelihood.get(field) if is_by_field else likelihood) or values.likelihood
        low, high = values.value_range
        what = f"{dataset.protocol} ({field}: values {low:g} .. {high:g})"
        check_likelihood(names[field], values.kinds, what)
    return names["x"] if dataset.is_plain else names


def choose_condition(dataset: Any) -> int | tuple[int, ...]:
    """Return what y is: the number of classes of a label, or the shape of an array.

    Raises:
      ValueError: the data have no y, or labels below zero or beyond LARGEST_SIZE.
    """
    condition = dataset.condition
    if condition is None:
        raise ValueError(
            f"conditional=True needs y, which {dataset.name} has not: give labels under key 'y', "
            "or parts of the image by given_quadrants=1"
        )
    if isinstance(condition, int) and dataset.labels[0] < 0:
        raise ValueError(
            f"'y' of {dataset.name} must be labels 0, 1, ..., got {dataset.labels[0]}: number the "
            "classes from 0; if -1 says that a label is missing, use missing_labels=true"
        )
    if isinstance(condition, int) and condition > LARGEST_SIZE:
        raise ValueError(
            f"'y' of {dataset.name} must be labels below {LARGEST_SIZE:,}, got {condition - 1}"
            ": number the classes from 0, or give y as floats to use its values"
        )
    return condition


def count_bits_dimensions(dataset: Any, likelihood: Any) -> int:
    """Return the number of values of x, or 0 where log p(x|z) is not a log-probability of all."""
    names = [pick(likelihood, field) for field in dataset.fields]
    chosen = [look_up(LIKELIHOODS, name, "likelihood") for name in names]
    if not all(row.is_discrete for row in chosen):
        return 0
    if dataset.given is not None:
        return int(np.sum(dataset.given == 0))
    if dataset.is_masked:
        return 0
    return sum(math.prod(values.shape) for values in dataset.fields.values())
