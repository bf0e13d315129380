"""The explorer: a page in which a trained decoder runs.

decoder.py tells the page what the decoder is, content.py what is seen beside it, page.py joins both
with page.html, style.css and the scripts that stand here.
"""
