"""Text that comes from data, on its way into a page: a file of data says words and formulas, never markup.

`literal`   writes a text so that MyST shows it as it is, letter by letter.
`parsed`    reads a text in which emphasis, code, formulas and the roles that refer to something have their meaning.
            HTML, links, directives, substitutions and all other roles stay the text that they are.

tests/book/test_escaping.py puts all of it into each field that becomes a page.
"""

import re

ROLES = {"claim", "cite:p", "cite:t", "doc", "eq", "numref", "prf:ref", "ref", "term"}
BLOCKS = ["math_block", "amsmath", "paragraph"]
INLINE = ["text", "newline", "math_inline", "myst_role", "escape", "backticks", "emphasis"]
AFTER = ["balance_pairs", "emphasis", "fragments_join"]
ROLE = re.compile(r"\{([^\s{}`]*)\}(?=`)")
SPECIAL = re.compile(r"[!-/:-@\[-`{-~]")  # the punctuation of ASCII, which is all that markup is made of


def literal(text):
    """Return a text as MyST that shows it as it is, in one line."""
    return SPECIAL.sub(r"\\\g<0>", " ".join(str(text).split()))


def parsed(directive, text):
    """Return the nodes of a text."""
    md = directive.state._renderer.md  # a parser has no other way to forget a rule
    known = ROLE.sub(lambda role: role[0] if role[1] in ROLES else f"\\{role[0]}", text)
    with md.reset_rules():
        md.block.ruler.enableOnly(BLOCKS, True)
        md.inline.ruler.enableOnly(INLINE, True)
        md.inline.ruler2.enableOnly(AFTER, True)
        return directive.parse_text_to_nodes(known)
