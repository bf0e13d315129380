"""A trained model as serialized functions of jax, which run where neither vae_jax nor flax is."""

from collections.abc import Mapping, Sequence
import io
import zipfile

import jax
from jax import export
import jax.numpy as jnp

from vae_jax.distributions import Masked
from vae_jax.evaluation import evaluation_keys, posterior_means, values_of
from vae_jax.fast import threefry
from vae_jax.lookup import look_up
from vae_jax.model import Model

_README = """Functions of a trained variational autoencoder, serialized by jax {version} for
{platforms}. They need `pip install jax flatbuffers`, nothing else:

    import zipfile, jax
    with zipfile.ZipFile("{name}") as file:
        encode, decode, sample = (
            jax.export.deserialize(bytearray(file.read(f"{{each}}.bin"))).call
            for each in ("encode", "decode", "sample")
        )

{calls}

Every argument has one row per example, as many as you like; x is in the units of the data; if
the model knows missing entries, they are NaN. encode gives the means of q(z|x), decode those of
p(x|z), and sample draws x, one for each of the seeds, which are any numbers.
"""
_PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
_FIRST = {"encode": "x", "decode": "z", "sample": "seeds"}


def export_functions(
    model: Model, platforms: Sequence[str] = ("cpu", "cuda", "tpu")
) -> dict[str, export.Exported]:
    """Return {"encode", "decode", "sample"}: functions of batches of any size, parameters included.

    encode(x[, y]) gives the means of q(z|x), decode(z[, y]) those of p(x|z), and sample(seeds[, y])
    draws x, one for each seed (uint32). x is in the units of the data, as float32; NaN stands for
    a missing entry where the model knows them. Where training draws bits of grey values, encode
    takes the grey values themselves.

    Args:
      model: of `load_model`.
      platforms: where the functions are going to run: "cpu", "cuda", "rocm" or "tpu".

    Raises:
      ValueError: a model of a table, or one that is given a part of the image, or that cannot be
        lowered for one of these platforms.
    """
    if model.dataset.given is not None:
        raise ValueError("a model of the rest of an image cannot be exported to jax")
    if model.dataset.columns is not None:
        raise ValueError("functions of jax take no table: write a model file, without --format=jax")
    for platform in platforms:
        look_up(dict.fromkeys(_PLATFORMS), platform, "platforms")
    (batch,) = export.symbolic_shape("batch")
    arguments = {
        "encode": _batch_of(batch, values_of(model.dataset.train.x)),
        "decode": _batch_of(batch, _codes(model)),
        "sample": jax.ShapeDtypeStruct((batch,), jnp.uint32),
    }
    y = [] if model.vae.condition is None else [_batch_of(batch, model.dataset.train.y)]
    functions = {"encode": _make_encode, "decode": _make_decode, "sample": _make_sample}
    try:
        return {
            name: export.export(jax.jit(jax.vmap(make(model))), platforms=tuple(platforms))(
                arguments[name], *y
            )
            for name, make in functions.items()
        }
    except (NotImplementedError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ValueError(f"cannot export for {', '.join(platforms)}: {reason}") from error


def _codes(model):
    # Shapes of a batch of z.
    def draw(key, y):
        return model.vae.prior(model.params, y).sample(key)

    keys = jax.eval_shape(lambda: jax.random.split(threefry.key(0), 2))
    y = None if model.vae.condition is None else _batch_of(2, model.dataset.train.y)
    return jax.eval_shape(jax.vmap(draw), keys, y)


def _batch_of(batch, stored):
    # The shapes of stored examples or of codes, as a batch: floats, but for labels.
    def shape(leaf):
        is_label = jnp.issubdtype(leaf.dtype, jnp.integer) and leaf.ndim == 1
        dtype = jnp.int32 if is_label else jnp.float32
        return jax.ShapeDtypeStruct((batch, *leaf.shape[1:]), dtype)

    return jax.tree.map(shape, stored)


def _make_encode(model):
    keys = evaluation_keys(threefry.key(0))

    def encode(x, y=None):
        q = model.vae.encode(model.params, _to_model(model.dataset, x), y)
        means = tuple(posterior_means(keys.posterior_means, q).values())
        return means[0] if len(means) == 1 else means

    return encode


def _make_decode(model):
    def decode(z, y=None):
        return _to_user(model.dataset, model.vae.decode(model.params, z, y).mean)

    return decode


def _make_sample(model):
    def sample(seed, y=None):
        key_z, key_x = jax.random.split(threefry.key(seed))
        z = model.vae.prior(model.params, y).sample(key_z)
        drawn = model.vae.decode(model.params, z, y).sample(key_x)
        return _to_user(model.dataset, values_of(drawn))

    return sample


def _to_model(dataset, x):
    by_field = {"x": x} if dataset.is_plain else x
    stored = {"x": dataset.train.x} if dataset.is_plain else dataset.train.x
    seen = {
        name: _field_to_model(values, by_field[name], isinstance(stored[name], Masked))
        for name, values in dataset.fields.items()
    }
    return seen["x"] if dataset.is_plain else seen


def _field_to_model(values, x, is_masked):
    mask = ~jnp.isnan(x)
    filled = jnp.where(mask, x, 1) if is_masked else x
    if values.units is None:
        filled = filled / values.maximum
    else:
        location, scale = (jnp.reshape(jnp.array(each), values.shape) for each in values.units[:2])
        filled = ((jnp.log(filled) if values.units.is_log else filled) - location) / scale
    return Masked(filled, mask) if is_masked else filled


def _to_user(dataset, x):
    by_field = {"x": x} if dataset.is_plain else x
    values = {name: _field_to_user(each, by_field[name]) for name, each in dataset.fields.items()}
    return values["x"] if dataset.is_plain else values


def _field_to_user(values, x):
    if values.units is None:
        return x * values.maximum
    location, scale = (jnp.reshape(jnp.array(each), values.shape) for each in values.units[:2])
    x = location + scale * x
    return jnp.exp(x) if values.units.is_log else x


def to_zip(functions: Mapping[str, export.Exported], name: str) -> bytes:
    """Return a zip of the serialized functions, with a README.txt that says how to call them.

    Args:
      functions: what `export_functions` returned.
      name: of the zip, as the README says it.
    """
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for each, function in functions.items():
            file.writestr(f"{each}.bin", bytes(function.serialize()))
        file.writestr("README.txt", _describe(functions, name))
    return content.getvalue()


def _describe(functions, name):
    def shapes(tree):
        return jax.tree.map(lambda aval: f"{aval.dtype}[{', '.join(map(str, aval.shape))}]", tree)

    calls = []
    for each, function in functions.items():
        given, _ = jax.tree.unflatten(function.in_tree, function.in_avals)
        given = [
            f"{what}: {shapes(aval)}"
            for what, aval in zip((_FIRST[each], "y"), given, strict=False)
        ]
        result = jax.tree.unflatten(function.out_tree, function.out_avals)
        calls.append(f"    {each}({', '.join(given)}) -> {shapes(result)}")
    return _README.format(
        version=jax.__version__,
        platforms=", ".join(functions["encode"].platforms),
        name=name,
        calls="\n".join(calls),
    )
