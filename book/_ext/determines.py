"""What each loss determines, on the pages: the directive `determined` lists rows of cossim_helpers/losses.yml.

`case` says which case of the decision guide a loss is. tests/book/test_determines.py holds the guide's own rows to it.
"""

from data_text import literal
from sphinx.util.docutils import SphinxDirective

from cossim_helpers import LOSSES, determined

TABLE = "cossim_helpers/losses.yml"
HEADS = ("Loss", "Value between two items", "Order between items", "Rule")


def case(loss):
    """Return the letter of the guide, or "" for distances, of which it has no case."""
    row = determined(loss)
    if row.sees == "squared distances":
        return ""
    if row.tied:
        return "D"
    if row.balanced:
        return "B"
    if row.unit_users and row.unit_items:
        return "C"
    return "S" if row.sees == "rows" else "A"


def said(verdict):
    """Return a verdict as it stands in a sentence: "yes", "no", or "only if …"."""
    return f"only {verdict.answer} {verdict.condition}" if verdict.answer == "if" else verdict.answer


def listed(losses):
    """Return the rows of these losses as a list-table in MyST; losses with the same answers share a row."""
    found = {}
    for row in map(determined, losses):
        verdicts = [literal(said(row.verdicts[name])) for name in ("item_item_value", "item_item_order")]
        found.setdefault((case(row.loss), row.theorem, *verdicts, literal(row.rule)), []).append(
            f"**{literal(row.label)}**"
        )
    rows = [HEADS]
    for (letter, theorem, *answers), names in found.items():
        of_case = f", case {letter}" if letter else ""
        rows.append((f"{'; '.join(names)}{of_case} ({{prf:ref}}`{theorem}`)", *answers))
    cells = ["\n  ".join(("* - " if n == 0 else "- ") + cell for n, cell in enumerate(row)) for row in rows]
    head = ("```{list-table}", ":header-rows: 1", ":class: decide determined", ":widths: 28 24 24 24", "")
    return "\n".join([*head, *cells, "```"])


class DeterminedTable(SphinxDirective):
    """{determined}: all losses, or those that are named."""

    optional_arguments = 1
    final_argument_whitespace = True

    def run(self):
        self.env.note_dependency(TABLE)
        losses = self.arguments[0].split() if self.arguments else LOSSES
        unknown = set(losses) - set(LOSSES)
        if unknown:
            raise self.error(f"determined: no such loss: {', '.join(sorted(unknown))}")
        return self.parse_text_to_nodes(listed(losses))


def setup(app):
    app.add_directive("determined", DeterminedTable)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
