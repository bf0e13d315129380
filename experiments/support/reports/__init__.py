"""What `experiments.evaluate --report=NAME` measures beyond the final table: one file per report.

Each has `report(run, how_measured, state, workdir, **options)`, which measures, draws its pictures
into workdir/figures and returns what is written to workdir/NAME.json, and `show(content)`, which
prints its table.
"""
