"""Every field and its default. The other configs start from this one and state what differs.

Any field is set on the command line as --config.block.field=value.
"""

import ml_collections


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
    data.name = "digits"  # a row of vae_jax.datasets.DATASETS
    data.binarization = ""  # dynamic, static or none; "" for the data set's own default; or
    # one for each field, as "image=dynamic,table=none", as also vae.likelihood
    data.data_dir = ""  # TFDS's folder; "" for TFDS's own default
    data.download = False  # whether TFDS may download what is not there
    data.path = ""  # the file of data.name="npz"
    data.fields = ()  # keys of the npz that make up x, each with its own branch; (): the key x
    data.maximum = 0.0  # stored value of the npz that stands for 1; 0: 255 of uint8, else 1
    data.given_quadrants = 0  # 1, 2 or 3 quarters of the image are the condition y, the rest x
    data.seed = 0  # of the split and of the static binarization

    config.vae = vae = ml_collections.ConfigDict()
    vae.network = "mlp"  # a row of vae_jax.networks.NETWORKS: mlp, gated_mlp, conv or resnet
    vae.hidden = (200, 200)  # sizes of the dense layers
    vae.channels = (32, 64)  # of conv and resnet: one entry per halving of the image
    vae.activation = "tanh"  # a row of vae_jax.networks.ACTIVATIONS; gated layers have none
    vae.initializer = "glorot_uniform"  # a row of vae_jax.networks.INITIALIZERS
    vae.posterior = "gaussian"  # q(z|x), a row of vae_jax.posteriors.POSTERIORS
    vae.prior = "standard_normal"  # p(z) or p(z|y), a row of vae_jax.priors.PRIORS
    vae.latent_dim = 10  # dimensions of z, or discrete variables
    vae.num_classes = 10  # of each variable of the posterior categorical
    vae.num_components = 50  # of the prior mixture; pseudo-inputs of the prior vampprior
    vae.pseudo_inputs = "learned"  # from training examples on; "data": these, fixed
    vae.flow_layers = 2  # of the posteriors and the prior that are flows
    vae.flow_hidden = (64,)  # sizes of the dense layers in each of them
    vae.upper_dim = 5  # dimensions of z2 of posterior and prior two_layers; z1 has latent_dim
    vae.upper_hidden = (50,)  # dense layers between z1 and z2, and from y to p(z|y)
    vae.conditional = False  # whether the model is given y: p(x|z,y), q(z|x,y)
    vae.likelihood = "bernoulli"  # p(x|z), a row of vae_jax.likelihoods.LIKELIHOODS
    vae.likelihood_scale = 1.0  # sigma of a Gaussian, in units of x; if learned, the first
    vae.likelihood_floor = 0.01  # the least sigma that is learned
    vae.precision = "float32"  # or float64, or bfloat16 (the layers' products only)

    config.objective = elbo_objective()

    config.optimizer = optimizer = ml_collections.ConfigDict()
    optimizer.name = "adam"  # a row of vae_jax.optimizers.OPTIMIZERS
    optimizer.learning_rate = 2e-3  # peak
    optimizer.schedule = "cosine"  # constant, cosine or piecewise
    optimizer.warmup_steps = 100  # linear growth of the rate from 0, under each schedule
    optimizer.end_factor = 1e-3  # last value of the cosine, as a fraction of the peak
    optimizer.boundaries = ()  # steps at which the piecewise schedule falls
    optimizer.decay_factor = 0.1  # by which it is multiplied there
    optimizer.clip_norm = 0.0  # largest global norm of a gradient; 0: no clipping
    optimizer.ema_decay = 0.0  # of an average of the weights, used in evaluation; 0: none

    config.training = training = ml_collections.ConfigDict()
    training.batch_size = 100  # examples a step
    training.num_epochs = 600  # length of the run
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
    return config


def elbo_objective() -> ml_collections.ConfigDict:
    """Return the block of objective `elbo` (an objective's block is replaced whole)."""
    objective = ml_collections.ConfigDict()
    objective.name = "elbo"  # a row of vae_jax.objectives.OBJECTIVES
    objective.beta = 1.0  # weight of the rate: 1 is the ELBO, > 1 the beta-VAE
    objective.num_samples = 1  # samples of z an example
    objective.sampled_kl = False  # estimate the rate by the samples, not in closed form
    objective.beta_warmup_steps = 0  # beta grows linearly from 0 over so many steps
    return objective
