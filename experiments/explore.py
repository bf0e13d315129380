"""Write a page to explore a trained model: python -m experiments.explore --workdir=DIR

--workdir is the folder of a run, or a model file. The page, one HTML file that any browser opens
without a network, decodes in the browser: a slider for each latent dimension, a map of the codes of
test examples, a line between two of them, and the class of a conditional model. A second tab shows
reconstruction and KL as the encoder's variance slides, of a model whose log p(x) is known.

The examples are those of --input, an npz with x and perhaps y; or else the test set of the run,
where its data are; or else draws from the model.
"""

from pathlib import Path

from absl import flags

from experiments.support import cli, console
from experiments.support.explorer.content import find_examples, make_content
from experiments.support.explorer.decoder import describe_decoder
from experiments.support.explorer.page import make_page
from vae_jax.checkpoints import output_file
from vae_jax.model_file import check_output, load_model


def explore(
    workdir: str,
    output: str,
    source: str | None = None,
    member: int = 0,
    overwrite: bool = False,
) -> None:
    """Write the page of a trained member of a run.

    Args:
      workdir: the folder of the run, or a model file.
      output: the HTML file.
      source: an npz with examples; None: the run's test set, or draws from the model.
      member: which one of a run of several.
      overwrite: whether a file that is there is replaced.

    Raises:
      ValueError: a run, a member or examples that cannot be used, a model that the page cannot run
        or hold, or a file that is there.
      OSError: the output cannot be written.
    """
    check_output(Path(output), overwrite)
    model = load_model(workdir, member)
    decoder, weights = describe_decoder(model)
    shown = find_examples(model, workdir, source)
    page = make_page(model, decoder, weights, make_content(model, shown)).encode()
    with output_file(Path(output)) as file:
        file.write(page)
    what = f"{len(page) / 1e6:.1f} MB, with codes and images of {shown.origin}"
    console.say_written([output], what, "open the file in a browser")


def main() -> None:
    """Parse what the command line says and write the page."""
    given = flags.FLAGS
    with cli.user_errors():
        cli.use_machine_flags()
        explore(given.workdir, given.output, given.input, given.member, given.overwrite)


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "folder of the run, or a model file")
    flags.DEFINE_string("input", None, "npz with the examples that are shown, under x and y")
    flags.DEFINE_string("output", "explorer.html", "HTML file to write")
    flags.DEFINE_integer("member", 0, "which member of a run of several", lower_bound=0)
    flags.DEFINE_boolean("overwrite", False, "replace a file that is there")
    cli.define_machine_flags()
    cli.run_program(main, required=("workdir",))
