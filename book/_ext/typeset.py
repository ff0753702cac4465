"""The book on paper, second half: how each node is set in LaTeX. What the macros look like stands in in_print.tex.

No counter of LaTeX is used for what the site numbers: headings, equations, results, exercises and figures carry the
numbers of the site, which env.toc_secnumbers and env.toc_fignumbers hold.
"""

import re
import unicodedata
from functools import cache
from importlib.util import find_spec
from math import ceil
from pathlib import Path

from docutils import nodes
from fontTools.ttLib import TTFont
from PIL import Image
from sphinx import addnodes
from sphinx.errors import ExtensionError
from sphinx.util.texescape import escape as sphinx_escape
from sphinx.writers.latex import LaTeXTranslator
from tracks import LOOKED_UP

# Where the text and where code find a sign, in this order. The faces of a family need not have the same signs.
TEXT = ("STIX-Regular.otf", "STIX-Italic.otf", "STIX-Bold.otf", "STIX-BoldItalic.otf")
CODE = ("DejaVuSansMono.ttf", "DejaVuSansMono-Bold.ttf", "DejaVuSansMono-Oblique.ttf")
OTHERS = {"STIXMath-Regular.otf": r"\bookmathsign", "DejaVuSans.ttf": r"\booksanssign", "ipaexm.ttf": r"\bookcjk"}
FOLDERS = (Path("/usr/share/fonts"), Path(find_spec("matplotlib").origin).parent / "mpl-data" / "fonts" / "ttf")
SIGNS = {"⟺": r"\(\Longleftrightarrow\)"}
JAPANESE = re.compile("[\u3000-\u30ff\u3400-\u9fff\uff00-\uffef]+")
BREAKS = re.compile(
    r"(?<=\w)\\_(?=\w)|::|/(?=\w)|,|(?<=\w)\.(?=[A-Za-z_])"
)  # code within a line may break behind these
CLOSING = "、。，．）」』】〉》：；！？ー々っゃゅょッャュョ"  # no line begins with these
WIDEST = 92  # characters of a table that fit across the page
SHORT = 16  # rows of a table that stay on one page
POINTS = 0.75  # a pixel of a page
WHOLE = {"width": 400, "height": 300}  # points of a picture at most: two fit on a page, with text
FOLDED = {"tag_hide-input", "tag_hide-cell"}
OF_CELLS = {"cell_code": "bookcell", "cell_code_output": "bookoutput"}
GREEK = "alpha beta gamma delta epsilon lambda mu rho sigma kappa theta Delta Sigma Lambda".split()
PLAIN = {**{name: None for name in GREEK}, "times": "×", "neq": "≠", "leq": "≤", "geq": "≥", "to": "→", "infty": "∞"}


@cache
def signs_of(name):
    """Return the signs that a font has, None where the font is not installed."""
    path = next((path for folder in FOLDERS for path in folder.rglob(name)), None)
    if path is None:
        return None
    with TTFont(path, lazy=True) as font:
        return frozenset(map(chr, font.getBestCmap()))


@cache
def sign(character, family):
    """Return how a character is set in a family of fonts: as it is, raised, lowered, or in a font that has it."""
    if character in SIGNS and family is TEXT:
        return SIGNS[character]
    if ord(character) < 0x80 or all(signs is None or character in signs for signs in map(signs_of, family)):
        return character
    kind, _, base = unicodedata.decomposition(character).partition(" ")
    if kind in ("<super>", "<sub>") and family is TEXT:
        return rf"\text{'superscript' if kind == '<super>' else 'subscript'}{{{chr(int(base, 16))}}}"
    macro = next((macro for name, macro in OTHERS.items() if character in (signs_of(name) or ())), None)
    if macro is None:
        raise ExtensionError(f"no font of the book has {character!r} (U+{ord(character):04X})")
    return rf"{macro}{{{character}}}"


def escaped(text, family=TEXT):
    """Return a text as LaTeX, with Japanese and the signs that its fonts lack in fonts that have them."""
    parts = JAPANESE.split(sphinx_escape(text, "xelatex"))
    parts = ["".join(sign(character, family) for character in part) for part in parts]
    runs = [_japanese(match) for match in JAPANESE.finditer(text)]
    return "".join(part + run for part, run in zip(parts, [*runs, ""]))


def _japanese(match):
    after = "" if match[0][0] in CLOSING else r"\bookcjkbreak"
    return rf"{after}\bookcjk{{{match[0]}}}\bookcjkbreak{{}}"


def spoken(formula):
    r"""Return a formula of a heading as plain text for the bookmarks: \lambda is λ. ValueError for an unknown macro."""

    def spelled(match):
        name = match[1]
        if name not in PLAIN:
            raise ValueError(f"a heading has \\{name}: say in typeset.py how a bookmark spells it")
        if PLAIN[name]:
            return PLAIN[name]
        case = "CAPITAL" if name[0].isupper() else "SMALL"
        spelling = {"lambda": "LAMDA", "Lambda": "LAMDA"}.get(name, name.upper())
        return unicodedata.lookup(f"GREEK {case} LETTER {spelling}")

    return re.sub(r"[{}$]", "", re.sub(r"\\([A-Za-z]+) ?", spelled, formula))


def seen(entry):
    """Return about as much text as a cell shows: a macro of a formula is one sign, and code is wider than words."""

    def shown(text):
        if isinstance(text.parent, nodes.literal):
            return re.sub(r"[^\W_]+", lambda word: word[0] + "x" * ceil(0.2 * len(word[0])), text.astext())
        if not isinstance(text.parent, nodes.math):
            return text.astext()
        signs = re.sub(r"[{}^_\s]", "", re.sub(r"\\[A-Za-z]+", "x", text.astext()))
        return "x" * ceil(1.3 * len(signs))  # it breaks at no blank, and is wider than its letters

    return "".join(map(shown, entry.findall(nodes.Text)))


def widths(rows):
    """Return (the share of each column, the width of the table) in characters, such that its rows are low.

    Each column has its longest word. What is left goes, one by one, to the column that makes the table's rows tallest.
    """
    columns = [[len(cell) for cell in column] for column in zip(*rows)]
    shares = [
        min(30, max(len(word) for cell in column for word in [*re.split(r"[\s_/.,:()]", cell), ""])) + 2
        for column in zip(*rows)
    ]
    needs = [max(column) + 2 for column in columns]
    while sum(shares) < min(WIDEST, sum(needs)):
        lines = [sum(ceil(cell / share) ** 2 for cell in column) for column, share in zip(columns, shares)]
        open_ones = [place for place, (share, need) in enumerate(zip(shares, needs)) if share < need]
        if not open_ones:
            break
        shares[max(open_ones, key=lambda place: lines[place])] += 1
    return shares, min(sum(shares), WIDEST)


def room(rows):
    """Return the points that a table needs below it, at least: a short one is not torn."""
    return ceil(10.5 * (rows + 5 if rows <= SHORT else 10))


def container_name(node):
    """Return the environment that a container is set in, "" for one that does not show."""
    element = node.get("nb_element")
    if element == "cell_code_source":
        return "bookfoldedcode" if FOLDED & set(node.parent["classes"]) else ""
    if element in OF_CELLS:
        return OF_CELLS[element]
    if node.get("design_component") == "dropdown":
        return "bookdropdown"
    return "bookdoors" if "doors" in node["classes"] else ""


class PrintTranslator(LaTeXTranslator):
    """LaTeX of the pages that in_print.py has prepared."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.labels = set()

    # --- text ---

    def encode(self, text):
        if self.literal_whitespace:
            return super().encode(text)
        return escaped(text)

    def visit_math(self, node):
        formula = " ".join(node.astext().split())
        if self.in_title:
            self.body.append(rf"\texorpdfstring{{\({formula}\)}}{{{self.escape(spoken(formula))}}}")
        else:
            self.body.append(rf"\({formula}\)")
        raise nodes.SkipNode

    def visit_Text(self, node):
        code = isinstance(node.parent, nodes.literal)
        text = escaped(node.astext(), CODE) if code and not self.in_title else self.encode(node.astext())
        self.body.append(BREAKS.sub(r"\g<0>\\allowbreak{}", text) if code and not self.in_title else text)

    def visit_literal_block(self, node):
        try:
            super().visit_literal_block(node)
        except nodes.SkipNode:
            self.body = [*self.body[:-1], "".join(sign(character, CODE) for character in self.body[-1])]
            raise

    def visit_title_reference(self, node):
        self.body.append(r"\emph{")

    # --- pages, headings, folds ---

    def visit_document(self, node):
        super().visit_document(node)
        self.this_is_the_title = 0
        self.sectionlevel = self.top_sectionlevel - 1

    def visit_start_of_file(self, node):
        super().visit_start_of_file(node)
        self.sectionlevel = self.top_sectionlevel - 1
        if part := node.get("part"):
            self.body.append(rf"\bookpart{{{self.encode(part)}}}{{{self.escape(part)}}}" + "\n")
        if node["docname"] in LOOKED_UP:
            self.body.append(r"\begin{bookreference}" + "\n")

    def visit_title(self, node):
        if not isinstance(node.parent, nodes.section):
            super().visit_title(node)
            return
        level = min(self.sectionlevel, len(self.sectionnames) - 1)
        name = self.sectionnames[level]
        number = self.number_of(node.parent)
        if name == "chapter" and self.curfilestack[-1] == self.config.root_doc:  # the book bears its title
            self.body.append(
                r"\bookchapter{}{}{About this book}" + "\n" + self.hypertarget_to(node.parent, anchor=True)
            )
            raise nodes.SkipNode
        called = rf"{{{'Chapter' if number.isdecimal() else 'Appendix'}}}" if name == "chapter" else ""
        self.body.append(rf"\book{name}{called}{{{number}}}{{")
        self.context.append("}\n" + self.hypertarget_to(node.parent))
        self.in_title = 1

    def number_of(self, section):
        numbers = self.builder.env.toc_secnumbers.get(self.curfilestack[-1], {})
        top = isinstance(section.parent, addnodes.start_of_file)
        number = next(
            (numbers[key] for key in [""] * top + [f"#{one}" for one in section["ids"]] if key in numbers), ()
        )
        return ".".join(map(str, number or ()))

    def depart_start_of_file(self, node):
        if node["docname"] in LOOKED_UP:
            self.body.append("\n" + r"\end{bookreference}" + "\n")
        super().depart_start_of_file(node)

    def visit_section(self, node):
        super().visit_section(node)
        if fold := node.get("fold"):
            rule = "" if fold == "next" else r"\bookfoldrule"
            self.body.append("\n" + rf"\begin{{bookfold}}{{{rule}}}" + "\n")

    def depart_section(self, node):
        if node.get("fold"):
            self.body.append("\n" + r"\end{bookfold}" + "\n")
        super().depart_section(node)

    def hypertarget(self, id, withdoc=True, anchor=True):
        """Return a label, once: a target and what it stands before may both bear it."""
        label = f"{self.curfilestack[-1]}:{id}" if withdoc else id
        if label in self.labels:
            return ""
        self.labels.add(label)
        return super().hypertarget(id, withdoc, anchor)

    # --- results, proofs, exercises ---

    def visit_result_node(self, node):
        self.box(node, "bookresult")

    def depart_result_node(self, node):
        self.body.append("\n" + r"\end{bookresult}" + "\n")

    def visit_exercise_box(self, node):
        self.box(node, "booksolution" if node.get("solution") else "bookexercise")

    def depart_exercise_box(self, node):
        self.body.append("\n" + rf"\end{{{'booksolution' if node.get('solution') else 'bookexercise'}}}" + "\n")

    def box(self, node, environment):
        """Begin a box: its name, its label, its title."""
        self.pushbody([])
        node[0].walkabout(self)
        title = "".join(self.popbody())
        node.pop(0)
        labels = self.hypertarget_to(node, anchor=True)
        self.body.append("\n" + rf"\begin{{{environment}}}{{{node['name']}}}{{{title}}}{{{labels}}}" + "\n")

    def visit_solutions_node(self, node):
        self.body.append("\n" + r"\booksolutions" + "\n")

    def depart_solutions_node(self, node):
        pass

    def visit_proof_block(self, node):
        self.body.append("\n" + r"\begin{bookproof}" + "\n")

    def depart_proof_block(self, node):
        self.body.append("\n" + r"\end{bookproof}" + "\n")

    # --- equations ---

    def visit_math_block(self, node):
        formula = re.sub(r"\n\s*\n", "\n", node.astext().strip())
        labels = tag = ""
        if label := node.get("label"):
            docname = self.curfilestack[-1]
            anchor = nodes.make_id(f"equation-{label}")
            labels = rf"\phantomsection\label{{\detokenize{{{docname}:{anchor}}}}}"
            tag = rf"\tag{{{self.equation_number(docname, label)}}}"
        if r"\\" in formula and not formula.startswith(r"\begin{"):
            formula = rf"\begin{{aligned}}{formula}\end{{aligned}}"
        room = "3em" if tag else "0pt"
        formula = rf"\bookfit{{{room}}}{{{formula}}}"
        self.body.append(f"%\n\\begin{{equation*}}{labels}\n{formula}{tag}\n\\end{{equation*}}\n")
        raise nodes.SkipNode

    def equation_number(self, docname, label):
        numbers = self.builder.env.toc_fignumbers[docname]["displaymath"]
        return ".".join(map(str, numbers[nodes.make_id(f"equation-{label}")]))

    def visit_math_reference(self, node):
        docname, label = node["docname"], node["target"]
        number = self.equation_number(docname, label)
        self.body.append(rf"\hyperref[\detokenize{{{docname}:{nodes.make_id(f'equation-{label}')}}}]{{({number})}}")
        raise nodes.SkipNode

    def visit_number_reference(self, node):
        label = (
            f"{self.curfilestack[-1]}:{node['refid']}" if node.get("refid") else node["refuri"][1:].replace("#", ":")
        )
        self.body.append(rf"\hyperref[{self.idescape(label)}]{{{self.encode(node.astext())}}}")
        raise nodes.SkipNode

    # --- pictures ---

    def visit_figure(self, node):
        numbers = self.builder.env.toc_fignumbers.get(self.curfilestack[-1], {}).get("figure", {})
        number = next((numbers[one] for one in node["ids"] if one in numbers), ())
        place = "H" if self.no_latex_floats or self.table else self.elements["figure_align"]
        self.body.append(rf"\begin{{bookfigure}}[{place}]{{{'.'.join(map(str, number))}}}" + "\n")

    def depart_figure(self, node):
        self.body.append(r"\end{bookfigure}" + "\n")

    def visit_image(self, node):
        path = Path(self.builder.srcdir, node["uri"])
        with Image.open(path) as picture:
            size = dict(zip(("width", "height"), picture.size))
        given = {
            key: float(re.sub(r"px$", "", node[key]))
            for key in size
            if re.fullmatch(r"[\d.]+(px)?", str(node.get(key)))
        }
        shown = given if len(given) == 2 else {key: value / 2 for key, value in size.items()}
        points = {key: value * POINTS for key, value in shown.items()}
        scale = min(1, *(WHOLE[key] / points[key] for key in points))
        width = points["width"] * scale
        file = self.builder.images[node["uri"]]
        inside = isinstance(node.parent, nodes.figure) or self.is_inline(node)
        picture = rf"\bookpicture{{{width:.1f}bp}}{{{file}}}"
        self.body.append(picture if inside else "\n" + rf"\begin{{center}}{picture}\end{{center}}" + "\n")
        raise nodes.SkipNode

    # --- tables ---

    def visit_table(self, node):
        rows = [
            [seen(entry) for entry in row.findall(nodes.entry) for _ in range(entry.get("morecols", 0) + 1)]
            for row in node.findall(nodes.row)
        ]
        shares, total = widths(rows)
        for spec, share in zip(node.findall(nodes.colspec), shares):
            spec["colwidth"] = share
        long = len(rows) > 8 or sum(map(len, (cell for row in rows for cell in row))) > 1500
        node["classes"] = ["colwidths-given", *(["longtable"] if long else [])]
        share = total / WIDEST
        self.body.append("\n" + rf"\begin{{booktable}}{{{share:.3f}}}" + "\n")
        super().visit_table(node)

    def depart_table(self, node):
        super().depart_table(node)
        self.body.append("\n" + r"\end{booktable}" + "\n")

    def visit_web_table(self, node):
        grid = node["grid"]
        left = [cell.left for cell in self.spread(grid)]
        columns = "".join("l" if one else "r" for one in left)
        lines = [rf"\begin{{bookweb}}{{{self.encode(grid.caption)}}}{{{columns}}}{{{room(len(grid.body))}}}"]
        lines += [r"\toprule", *map(self.web_row, grid.head), *([r"\midrule", r"\endhead"] if grid.head else [])]
        lines += map(self.web_row, grid.body)
        self.body.append("\n" + "\n".join([*lines, r"\bottomrule", r"\end{bookweb}"]) + "\n")
        raise nodes.SkipNode

    depart_web_table = None

    def spread(self, grid):
        """Return a row of single cells, which says how the columns stand."""
        return next(row for row in grid.body if all(cell.span == 1 for cell in row))

    def web_row(self, row):
        cells = []
        for cell in row:
            text = self.encode(cell.text)
            if cell.span > 1:
                text = rf"\multicolumn{{{cell.span}}}{{{'l' if cell.left else 'c'}}}{{\textit{{{text}}}}}"
            cells.append(text)
        above_others = len(row) == 1 and row[0].span > 1  # it stays with the first of them
        return " & ".join(cells) + (r" \\*" if above_others else r" \\")

    # --- code and what it prints ---

    def visit_container(self, node):
        if name := container_name(node):
            self.body.append("\n" + rf"\begin{{{name}}}" + "\n")

    def depart_container(self, node):
        if name := container_name(node):
            self.body.append("\n" + rf"\end{{{name}}}" + "\n")

    # --- boxes and lists ---

    def visit_admonition(self, node):
        self.pushbody([])
        if isinstance(node[0], nodes.title):
            self.in_title = 1
            for child in node[0].children:
                child.walkabout(self)
            self.in_title = 0
            node.pop(0)
        title = "".join(self.popbody())
        self.body.append("\n" + rf"\begin{{bookbox}}{{{title}}}" + "\n")

    def depart_admonition(self, node):
        self.body.append("\n" + r"\end{bookbox}" + "\n")

    def visit_rubric(self, node):
        self.body.append("\n" + r"\bookrubric{")
        self.context.append("}\n")

    def visit_fact_node(self, node):
        self.body.append("\n" + r"\begin{bookfact}" + "\n")

    def depart_fact_node(self, node):
        self.body.append("\n" + r"\end{bookfact}" + "\n")

    def visit_entry_node(self, node):
        self.body.append("\n" + rf"\begin{{bookentry}}{{{self.hypertarget_to(node, anchor=True)}}}" + "\n")

    def depart_entry_node(self, node):
        self.body.append("\n" + r"\end{bookentry}" + "\n")

    def generate_indices(self):
        """Return the list of results: number, name and page of each, in the order of the book."""
        env, lines = self.builder.env, []
        for docname in [file["docname"] for file in self.document.findall(addnodes.start_of_file)]:
            for label, (kind, counter, name) in env.metadata[docname].get("names", {}).items():
                number = env.toc_fignumbers.get(docname, {}).get(counter, {}).get(label)
                if number and kind != "exercise":
                    called = self.encode(f"{kind.title()} {'.'.join(map(str, number))}")
                    label = self.idescape(f"{docname}:{label}")
                    lines.append(rf"\bookresultline{{{called}}}{{{self.encode(name)}}}{{{label}}}")
        return "\n".join([r"\begin{bookresults}", *lines, r"\end{bookresults}"]) + "\n"
