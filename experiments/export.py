"""Write a trained model to a file: python -m experiments.export --workdir=DIR --output=model.vae

The file holds arrays and their description, no code: `vae_jax.load_model("model.vae")` opens it
wherever vae_jax is installed. With --format=jax a zip of functions is written, which needs jax
alone (its README.txt says how).
"""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from experiments.support import cli, console
from vae_jax.checkpoints import output_file
from vae_jax.exported import export_functions, to_zip
from vae_jax.model_file import check_output, load_model, save_model

_NUMBERS = {"nll": "-log p(x)", "elbo": "ELBO"}


def export(
    workdir: str,
    output: str,
    member: int,
    overwrite: bool = False,
    platforms: Sequence[str] = (),
) -> None:
    """Write a trained member of a run to a file.

    Args:
      workdir: the folder of the run, or a model file.
      output: the file.
      member: which one of a run of several.
      overwrite: whether a file that is there is replaced.
      platforms: where functions of jax are going to run; (): a model file is written.

    Raises:
      ValueError: a run or a member that cannot be used, or a file that is there.
      OSError: the output cannot be written.
    """
    check_output(Path(output), overwrite)
    model = load_model(workdir, member)
    if platforms:
        content = to_zip(export_functions(model, platforms), Path(output).name)
        with output_file(Path(output)) as file:
            file.write(content)
        what = f"encode.bin, decode.bin, sample.bin for {', '.join(platforms)}"
        console.say_written([output], what, "README.txt in it says how they are called")
        return
    save_model(model, output, overwrite)
    numbers = {name: model.metadata["numbers"].get(name) for name in _NUMBERS}
    said = [f"{_NUMBERS[name]} {each:.2f} nats" for name, each in numbers.items() if each]
    what = ", ".join([model.metadata["member"], *said])
    console.say_written([output], what, f'vae_jax.load_model("{output}").encode(x)')


def main() -> None:
    """Parse what the command line says and write the file."""
    given = flags.FLAGS
    with cli.user_errors():
        cli.use_machine_flags()
        platforms = given.platforms if given.format == "jax" else ()
        export(given.workdir, given.output, given.member, given.overwrite, platforms)


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "folder of the run")
    flags.DEFINE_string("output", None, "file to write")
    flags.DEFINE_integer("member", 0, "which member of a run of several", lower_bound=0)
    flags.DEFINE_enum("format", "model", ["model", "jax"], "a model file, or functions of jax")
    flags.DEFINE_list("platforms", "cpu,cuda,tpu", "of --format=jax: where they are going to run")
    flags.DEFINE_boolean("overwrite", False, "replace a file that is there")
    cli.define_machine_flags()
    cli.run_program(main, required=("workdir", "output"))
