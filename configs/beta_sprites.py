"""beta-VAE (Higgins et al., 2017) with beta = 4 and ten latents on sprites: dSprites, rendered.

    python -m experiments.train --config=configs/beta_sprites.py

4096-200-200-10, one epoch of 11,473 batches of 64 images, each rendered inside the training step;
nothing is downloaded. The traversal shows scale on one latent and position on three, which are
still folded; shapes are blobs. Three betas with five seeds each:

    python -m experiments.train --config=configs/beta_sprites.py \\
      --config.sweep="objective.beta=1,4,8" --config.num_seeds=5

Median MIG of the five seeds, and the lowest and the highest, which hold the median of all seeds
with a probability of 94%: .025 (.017 .. .040) at beta = 1, .065 (.053 .. .158) at 4, .170 (.031 ..
.172) at 8. FactorVAE score: .50, .57, .56. Seeds differ more than betas do: position is folded over
two to four latents, by chance.

Test set (2,000 images that training never draws), seed 0: -log p(x) 95.2 nats by 100 samples, ELBO
-102.0 nats, five latents used, in four minutes on two busy cores.
"""

from configs import default

EXPECTED = {
    "nll": (95.2, 1.5),
    "elbo": (-102.0, 1.5),
    "kl": (10.8, 0.3),
    "active_units": (5, 0),
    "minutes": 4,
}


def get_config():
    config = default.get_config()
    config.data.name = "sprites"
    config.vae.hidden = (200, 200)
    config.vae.activation = "relu"
    config.objective.beta = 4.0
    config.optimizer.learning_rate = 1e-3
    config.training.batch_size = 64
    config.training.num_epochs = 1
    config.training.eval_every_epochs = 1
    config.training.checkpoint_every_epochs = 1
    # Five latents are used: few samples of z are needed, of 2,000 test images of 4,096 pixels.
    config.evaluation.num_samples = 100
    return config
