"""Tuned forms of a few functions, each beside the plain form that it equals.

The plain form, `plain_*`, is what to read: it says what is computed. The tuned one says why it is
needed and how much it saves. tests/fast holds each pair to the same values and gradients. Nothing
outside of this package knows how a compiler or a device works.
"""
