"""Labels of which some are missing: the generative semi-supervised model M2."""

from typing import Any

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Float, Int

from vae_jax.lookup import check_not_negative
from vae_jax.models.parts import seen_vector
from vae_jax.networks import DenseEncoder, make_layers
from vae_jax.objectives.objective import (
    Objective,
    check_latents,
    check_num_samples,
    over_batch,
)
from vae_jax.objectives.terms import kl, reconstruction, sample_terms


def average_over_labels(
    y: Int[Array, ""],
    log_q: Float[Array, "classes"],
    reconstructions: Float[Array, "classes"],
    kls: Float[Array, "classes"],
) -> dict[str, Array]:
    """Return `reconstruction`, `kl` and `elbo` of one example in nats, over its label and z.

    With w(y) = q(y|x) where the label is missing, and w = 1 at the label where it is known:
    reconstruction = sum_y w(y) E_q(z|x,y)[log p(x|z,y)],
    kl = sum_y w(y) (KL(q(z|x,y) || p(z|y)) + log w(y) - log p(y)), with p(y) = 1 / C, and
    elbo = reconstruction - kl, which is -L(x, y) of Eq. (6) of Kingma et al. (2014), a lower bound
    of log p(x, y), where the label is known, and -U(x) of Eq. (7), a lower bound of log p(x), where
    it is missing.

    Args:
      y: the label 0 .. C - 1, or -1 where it is missing.
      log_q: log q(y|x) of each class.
      reconstructions: E_q(z|x,y)[log p(x|z,y)] of each class.
      kls: KL(q(z|x,y) || p(z|y)) of each class.
    """
    is_missing, num_classes = y < 0, log_q.shape[0]
    weights = jnp.where(is_missing, jnp.exp(log_q), jax.nn.one_hot(y, num_classes))
    entropy = jnp.where(is_missing, -jnp.sum(jnp.exp(log_q) * log_q), 0.0)
    expected = weights @ reconstructions
    divergence = weights @ kls + jnp.log(num_classes) - entropy
    return {"elbo": expected - divergence, "kl": divergence, "reconstruction": expected}


def make_semi_supervised(
    *,
    beta: float = 1.0,
    generative_weight: float = 1.0,
    classifier_weight: float = 100.0,
    classifier_hidden: tuple[int, ...] = (200,),
    num_samples: int = 1,
) -> Objective:
    """The ELBO where labels may be missing (-1), with a classifier q(y|x).

    A step costs about as much as one of the ELBO with C times as many samples, C classes. The
    metrics `elbo` and `kl` are over label and z, see `average_over_labels`; `label_log_likelihood`
    is log q(y|x) in nats, 0 of an example without a label.

    Formula: g B(x, y) + c log q(y|x) with a label, g (sum_y q(y|x) B(x, y) + beta H(q(y|x)))
      without, B(x, y) = E_q(z|x,y)[log p(x|z,y)] - beta (KL(q(z|x,y) || p(z|y)) - log p(y)),
      p(y) = 1 / C, g and c the generative and the classifier weight
    Estimates: for g = beta = 1 and c = 0 a lower bound of log p(x, y) with a label, of log p(x)
      without.
    Source: Kingma et al. (2014), Eqs. (6), (7) and (9): their model M2.
    Use: for few labels and many examples without one, with vae.conditional=true.

    Args:
      beta: weight of the KL over label and z (may be swept).
      generative_weight: of the bounds (may be swept); 0 trains the classifier alone, on labels.
      classifier_weight: of log q(y|x) of each example with a label (may be swept): alpha of Eq. (9)
        of the paper over the number of labels, so that its 0.1 N is 0.1 over the share of labels.
      classifier_hidden: sizes of the dense layers of q(y|x).
      num_samples: L, samples of z per example and class.

    Raises:
      ValueError: a weight that is negative or infinite, a size that is not possible, no samples.
    """
    weights = {"generative_weight": generative_weight, "classifier_weight": classifier_weight}
    check_not_negative(beta=beta, **weights)
    check_num_samples(num_samples)
    layers = make_layers(classifier_hidden)

    def network(vae):
        return DenseEncoder(layers, count_classes(vae))

    def init(key, vae, examples):
        example = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape[1:]), examples.x)
        return network(vae).init(key, seen_vector(example))["params"]

    def classify(vae, params, x):
        return jax.nn.log_softmax(network(vae).apply({"params": params}, seen_vector(x)))

    def loss(key, vae, params, hparams, batch, step):
        check_latents(vae, "continuous")
        labels = jnp.arange(count_classes(vae))

        def metrics_of_one_example(key, x, y):
            # The same noise for every class: q(y|x) learns from the differences between them.
            keys = jax.random.split(key, num_samples)

            def parts_of(label):
                terms = sample_terms(keys, vae, params["vae"], x, label)
                return reconstruction(terms), kl(terms)

            log_q = classify(vae, params["objective"], x)
            metrics = average_over_labels(y, log_q, *jax.vmap(parts_of)(labels))
            label_log_likelihood = jnp.where(y < 0, 0.0, log_q[y])
            bound = metrics["reconstruction"] - hparams["beta"] * metrics["kl"]
            objective = hparams["generative_weight"] * bound
            objective += hparams["classifier_weight"] * label_log_likelihood
            return {
                "objective": objective,
                "label_log_likelihood": label_log_likelihood,
                **metrics,
            }

        metrics = over_batch(metrics_of_one_example, key, batch)
        return -metrics["objective"], metrics

    return Objective(init, loss, {"beta": beta, **weights}, classify=classify)


def count_classes(vae: Any) -> int:
    """Return the number of classes of the label that a model is given.

    Raises:
      ValueError: it is given none.
    """
    if not isinstance(vae.condition, int):
        given = "no y" if vae.condition is None else f"y of shape {vae.condition}"
        raise ValueError(
            f"the objective semi_supervised is for a model that is given a class label, not {given}"
            ": use vae.conditional=true with data that have labels (make_vae: condition=the number "
            "of classes)"
        )
    return vae.condition


def check_labels(objective: Objective, vae: Any, dataset: Any) -> None:
    """Refuse missing labels, or a model without labels, for an objective that cannot do with them.

    Args:
      objective: tells by `classify` whether it takes missing labels.
      vae: tells by `condition` whether the model is given labels.
      dataset: tells by `num_labels` whether some are missing.

    Raises:
      ValueError: with the remedy.
    """
    if objective.classify is not None:
        count_classes(vae)
    elif vae.condition is not None and dataset.num_labels is not None:
        raise ValueError(
            f"only {dataset.num_labels} training examples of {dataset.name} have a label, the "
            "others have y = -1, on which this objective cannot train a model that is given y: use "
            "the objective semi_supervised, or all labels (data.num_labels=0)"
        )


ROWS = {"semi_supervised": make_semi_supervised}
