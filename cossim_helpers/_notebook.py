"""Figures in a notebook: drawn with two pixels where one was, and shown as large as before."""

import sys

SHARP = "retina"  # IPython's name for it


def sharpen_figures() -> None:
    """Let Jupyter draw figures for screens of high density, unless the reader has chosen a format."""
    if "IPython" not in sys.modules:
        return
    from IPython import get_ipython

    shell = get_ipython()
    if not hasattr(shell, "kernel"):  # None, or that of a terminal
        return
    from matplotlib_inline.config import InlineBackend

    settings = InlineBackend.instance(parent=shell)
    if settings.figure_formats == {"png"}:  # as it comes
        settings.figure_formats = {SHARP}
