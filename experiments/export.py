"""Write a trained model to a file: python -m experiments.export --workdir=DIR --output=model.vae

The file holds arrays and their description, no code: `vae_jax.load_model("model.vae")` opens it
wherever vae_jax is installed. With --format=jax a zip of functions is written, which needs jax
alone (its README.txt says how).
"""

from pathlib import Path

from absl import flags

from experiments.support import cli, console
from vae_jax.model_file import check_output, load_model, save_model

_NUMBERS = {"nll": "-log p(x)", "elbo": "ELBO"}


def export(workdir: str, output: str, member: int, overwrite: bool = False) -> None:
    """Write a trained member of a run to a file.

    Raises:
      ValueError: a run or a member that cannot be used, or a file that is there.
      OSError: the output cannot be written.
    """
    check_output(Path(output), overwrite)
    model = load_model(workdir, member)
    save_model(model, output, overwrite)
    numbers = model.metadata["numbers"]
    said = [
        f"{label} {numbers[name]:.2f} nats" for name, label in _NUMBERS.items() if name in numbers
    ]
    console.say(f"{output}: {', '.join([model.metadata['member'], *said])}")
    console.say(f'use it: vae_jax.load_model("{output}").encode(x)')


def main() -> None:
    """Parse what the command line says and write the file."""
    given = flags.FLAGS
    with cli.user_errors():
        cli.use_machine_flags()
        export(given.workdir, given.output, given.member, given.overwrite)


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "folder of the run")
    flags.DEFINE_string("output", None, "file to write")
    flags.DEFINE_integer("member", 0, "which member of a run of several", lower_bound=0)
    flags.DEFINE_boolean("overwrite", False, "replace a file that is there")
    cli.define_machine_flags()
    cli.run_program(main, required=("workdir", "output"))
