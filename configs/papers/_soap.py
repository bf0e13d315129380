"""The optimizer of most rows: SOAP on batches of 400, some 5 times fewer epochs than with Adam."""


def use_soap(config, num_epochs):
    """Give a config SOAP with a cosine from 1e-2 to 1e-5 over so many epochs of batches of 400."""
    config.optimizer.name = "soap"
    config.optimizer.learning_rate = 1e-2
    config.optimizer.update_every = 30
    config.training.batch_size = 400
    config.training.num_epochs = num_epochs
    config.training.log_every_steps = 149 if config.data.name == "mnist" else 125  # an epoch
    config.training.eval_every_epochs = 5
    config.training.checkpoint_every_epochs = 5
