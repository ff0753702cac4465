"""Equations of the paper keep the paper's numbers: the one labelled eq-4 is (4), in whichever chapter it stands.

All others are counted by chapter, (1.1), (1.2), …, as if the paper's were not there.
"""

import re

PAPER = re.compile(r"(?:equation-)?eq-([1-6])")


def number(app, env):
    """Number the equations of each page anew, the paper's apart."""
    for numbers in env.toc_fignumbers.values():
        equations = numbers.get("displaymath", {})
        counter = 0
        for label, (*chapter, _) in equations.items():
            if paper := PAPER.fullmatch(label):
                equations[label] = (int(paper[1]),)
            else:
                counter += 1
                equations[label] = (*chapter, counter)
    return []  # no further page to write


def setup(app):
    app.connect("env-get-updated", number, priority=900)  # after Sphinx has numbered them (500)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
