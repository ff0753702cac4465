"""The appendix is chapter A: its sections are A.1, A.2, its equations (A.1), its theorems A.1."""

from docutils import nodes

APPENDIX = "book/appendix"


def letter(app, env):
    """Put A in the place of the number that the appendix has got as one more chapter."""
    own = env.toc_secnumbers.get(APPENDIX, {})
    own.update({anchor: lettered(number) for anchor, number in own.items()})
    titles = [titles[APPENDIX] for titles in (env.titles, env.longtitles) if APPENDIX in titles]
    entries = list(env.tocs[APPENDIX].findall(nodes.reference)) if APPENDIX in env.tocs else []
    for node in (*titles, *entries):
        if node.get("secnumber"):
            node["secnumber"] = lettered(node["secnumber"])
    for numbers in env.toc_fignumbers.get(APPENDIX, {}).values():
        numbers.update({label: lettered(number) for label, number in numbers.items()})
    return []  # no further page to write


def lettered(number):
    return number and ("A", *number[1:])


def setup(app):
    app.connect("env-get-updated", letter, priority=800)  # after the pages are numbered (500)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
