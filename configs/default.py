"""Every field and its default: the plain ELBO (Kingma & Welling, 2014) on scikit-learn's digits.

    python -m experiments.train --config=configs/default.py

The other configs start from this one and state what differs. Any field is set on the command line
as --config.block.field=value. The options of the rows that a block names (of the posterior, the
objective, ...) are None here, which stands for the row's own default: docs/options.md lists them.

Data: comes with scikit-learn. The number of epochs is that of the best -log p(x) of the validation
set: 91.1, 89.6 and 89.9 nats after 200, 400 and 600.

Test set, seed 0: -log p(x) 89.9 nats, ELBO -98.2 nats, in about 30 seconds on two cores.
"""

import ml_collections
from ml_collections import config_dict

from vae_jax.lookup import options_of
from vae_jax.tables import TABLES

EXPECTED = {
    "nll": (89.9, 1.8),
    "elbo": (-98.2, 1.2),
    "kl": (19.3, 0.3),
    "active_units": (10, 0),
    "minutes": 0.5,
}


def get_config() -> ml_collections.ConfigDict:
    """Return the ELBO on the embedded digits."""
    config = ml_collections.ConfigDict()
    config.seed = 0  # of the first member; the others count on from it
    config.num_seeds = 1  # runs trained together, in one program
    config.sweep = ""  # more of them: "objective.beta=1,2,4;optimizer.learning_rate=1e-3,3e-3"
    config.device = "auto"  # auto, cpu, gpu or tpu
    config.compilation_cache = ""  # folder of compiled programs; "": in the user's cache; "off"
    config.matmul_precision = "default"  # of float32 products on an accelerator; high, highest
    config.debug_nans = False  # stop at the operation that makes the first NaN; slow

    config.distributed = distributed = ml_collections.ConfigDict()
    distributed.coordinator = ""  # HOST:PORT; "auto": as Slurm, Open MPI, ... say; "": one host
    distributed.num_processes = 0  # with HOST:PORT
    distributed.process_index = 0  # with HOST:PORT: of this process, from 0

    config.data = data = ml_collections.ConfigDict()
    data.name = "digits"  # a row of DATASETS
    data.given_quadrants = 0  # 1, 2 or 3 quarters of the image are the condition y, the rest x
    data.num_labels = 0  # training labels that are kept, as many of each class, drawn by data.seed;
    # the others are missing (-1), for the objective semi_supervised; 0: all are kept
    data.device_bytes = 2**31  # training examples that take more stay on the host and are brought
    # to the device some steps ahead; changes memory, not the numbers

    config.vae = vae = ml_collections.ConfigDict()
    vae.network = "mlp"  # a row of NETWORKS
    vae.posterior = "gaussian"  # q(z|x), a row of POSTERIORS
    vae.prior = "standard_normal"  # p(z) or p(z|y), a row of PRIORS
    vae.likelihood = ""  # p(x|z), a row of LIKELIHOODS; "": the data set's own; or one for each
    # field, as "image=bernoulli,table=gaussian"
    vae.latent_dim = 10  # dimensions of z, or number of discrete variables
    vae.conditional = False  # whether the model is given y: p(x|z,y), q(z|x,y)
    vae.precision = "float32"  # or float64, or bfloat16 (the layers' products only)

    config.objective = objective = ml_collections.ConfigDict()
    objective.name = "elbo"  # a row of OBJECTIVES

    config.optimizer = optimizer = ml_collections.ConfigDict()
    optimizer.name = "adam"  # a row of OPTIMIZERS
    optimizer.learning_rate = 2e-3  # peak
    optimizer.schedule = "cosine"  # of the learning rate, a row of SCHEDULES
    optimizer.warmup_steps = config_dict.placeholder(int)  # linear growth of the learning rate from
    # 0, under each schedule; unset: 100, or a tenth of a run of fewer than 1,000 steps
    optimizer.clip_norm = 0.0  # largest global norm of a gradient; 0: no clipping
    optimizer.ema_decay = 0.0  # of an average of the weights, used in evaluation; 0: none

    # Of the parameters that the objective has beside the model, such as a discriminator.
    config.objective_optimizer = objective_optimizer = ml_collections.ConfigDict()
    objective_optimizer.name = ""  # a row of OPTIMIZERS; "": that of config.optimizer
    objective_optimizer.learning_rate = 0.0  # peak, on the same schedule; 0: that of
    # config.optimizer

    config.training = training = ml_collections.ConfigDict()
    training.batch_size = 100  # examples per step
    training.num_epochs = 400  # length of the run
    training.log_every_steps = 200  # between two lines of metrics.jsonl
    training.eval_every_epochs = 50  # between two ELBOs of the validation examples
    training.checkpoint_every_epochs = 200  # between two checkpoints
    training.patience = 0  # evaluations without a better validation ELBO before a stop; 0: no stop
    training.profile_steps = 0  # so many steps are traced to workdir/profile before the run begins

    config.evaluation = evaluation = ml_collections.ConfigDict()
    evaluation.num_samples = 5000  # importance samples of -log p(x) after training
    evaluation.seed = 0  # of the evaluation's noise and binarization, not of the run
    evaluation.batch_size = 100  # examples at once; changes memory, not the numbers
    evaluation.chunk_size = 20  # samples at once; changes memory, not the numbers

    for block, tables in TABLES.items():
        add_options(config[block], tables)
    return config


def add_options(block: ml_collections.ConfigDict, tables: dict) -> None:
    """Add an unset field, typed as its default, for every option of every row of these tables."""
    for table in tables.values():
        for row in table.values():
            for option, default in options_of(row).items():
                if option not in block:
                    block[option] = config_dict.placeholder(type(default))
