"""The book on paper, first half: what the pages of the site become before they are set in type by typeset.py.

The builder `print` puts the pages of the table of contents into one LaTeX file. All numbers are the site's: chapters,
sections, equations, results, exercises, figures. Solutions move to the end of their chapter, boxes that open are open,
a table in HTML becomes a table, and a run of checks a line. HTML that has no counterpart on paper ends the build.

tools/pdf.py calls it; `make pdf` is how to build the book.
"""

import re
from pathlib import Path

import badges
import yaml
from docutils import nodes
from sphinx import addnodes
from sphinx.builders.latex import LaTeXBuilder
from sphinx.errors import ExtensionError
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import new_document
from sphinx_exercise.nodes import exercise_enumerable_node, solution_node
from sphinx_proof.nodes import NODE_TYPES, proof_node
from tracks import DETAILS
from typeset import FOLDED, PrintTranslator, escaped
from web_parts import drawing, html_table, inline

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
OPENED = re.compile(r"\s*<details[^>]*><summary>(.*)</summary>\s*", re.DOTALL)
SITE_ONLY = re.compile(r'\s*<\w+\b[^>]*\bclass="[^"]*\bsite-only\b')
UNSEEN = re.compile(
    r"\s*(?:<!--.*?-->|</?(?:a|span|br|wbr)\b[^>]*>)\s*", re.DOTALL
)  # what stands between such tags stays
STAYS = re.compile(r"\bcheck(?:_\w+)?\(|^ *def ", re.MULTILINE)  # code that print keeps
COPYRIGHT = "Code: BSD 3-Clause License. Text and figures: CC BY 4.0, https://creativecommons.org/licenses/by/4.0/"


class result_node(nodes.Element):
    """A theorem, lemma, proposition or corollary: `name` is "Theorem 3.5", and its first child is its title."""


class exercise_box(nodes.Element):
    """An exercise, or a solution: `name` is "Exercise 3.2", and its first child is its title."""


class solutions_node(nodes.Element):
    """The solutions of a chapter, at its end."""


class proof_block(nodes.Element):
    """A proof."""


class entry_node(nodes.Element):
    """An entry of the bibliography."""


class fact_node(nodes.Element):
    """A line of an entry of the ledger."""


class web_table(nodes.Element):
    """A table that a cell shows as HTML, as a `web_parts.Grid` in `grid`."""


NODES = (result_node, exercise_box, solutions_node, proof_block, entry_node, fact_node, web_table)


# --- one document from the pages ---


class PrintBuilder(LaTeXBuilder):
    """One LaTeX file, its pages in the order of the table of contents, each under the caption of its part."""

    name = "print"
    default_translator_class = PrintTranslator

    def get_contentsname(self, indexfile):
        return ""  # the caption of the first part is no name for the contents

    def assemble_doctree(self, indexfile, toctree_only, appendices):
        pages = list(listed(self.env))
        self.docnames = {docname for _, docname in pages}
        book = new_document("<print>")
        book["docname"] = indexfile
        for part, docname in pages:
            tree = self.env.get_doctree(docname)
            file = addnodes.start_of_file(docname=docname)
            file["part"] = part
            file.extend(tree.children)
            for section in file.findall(nodes.section):
                section["docname"] = docname
            book += file
        without_contents(book)
        book.settings = self.env.get_doctree(indexfile).settings
        self.env.resolve_references(book, indexfile, self)
        return book


def listed(env):
    """Yield (caption of the part, name of the page), in the order of the table of contents."""
    site_map = env.app.config.external_site_map

    def below(docname):
        yield docname
        for subtree in site_map[docname].subtrees:
            for page in subtree.items:
                yield from below(str(page))

    root = site_map.root.docname
    yield "", root
    for subtree in site_map.root.subtrees:
        pages = [page for item in subtree.items for page in below(str(item))]
        yield from zip([subtree.caption or "", *[""] * len(pages)], pages)


def without_contents(book):
    """Drop the lists of pages: the table of contents stands at the front."""
    for toctree in list(book.findall(addnodes.toctree)):
        holder = toctree.parent
        holder.remove(toctree)
        while isinstance(holder, nodes.compound | nodes.section) and not any(
            not isinstance(child, nodes.title | nodes.target | nodes.comment) for child in holder.children
        ):
            holder.parent.remove(holder)
            holder = holder.parent


# --- what becomes of what ---


class ForPaper(SphinxPostTransform):
    """Exercises, results, proofs, outputs and HTML, before the extensions that know the web only come to them."""

    default_priority = 2
    formats = ("latex",)

    def run(self, **kwargs):
        if self.app.builder.name == "print":
            for file in self.document.findall(addnodes.start_of_file):
                Page(self.env, file).prepare()


class Page:
    """A page on its way to paper."""

    def __init__(self, env, file):
        self.env, self.file, self.docname = env, file, file["docname"]

    def prepare(self):
        self.drawing_code()
        self.outputs()
        self.facts()
        self.web()
        self.proofs()
        self.results()
        self.exercises()
        self.folds()

    def each(self, kind, condition=lambda node: True):
        return [node for node in self.file.findall(kind) if condition(node)]

    def number(self, kind, anchor):
        return ".".join(map(str, self.env.toc_fignumbers.get(self.docname, {}).get(kind, {})[anchor]))

    def drawing_code(self):
        """Drop the code that draws a figure, if the site folds it and it neither checks nor defines anything."""
        for cell in self.each(nodes.container, lambda node: node.get("nb_element") == "cell_code"):
            parts = {part.get("nb_element"): part for part in cell.children if isinstance(part, nodes.container)}
            code, output = (parts.get(f"cell_code_{name}") for name in ("source", "output"))
            if code is None or output is None or not FOLDED & set(cell["classes"]) or STAYS.search(code.astext()):
                continue
            kinds = [bundle.get("mime_type") for bundle in output.findall(nodes.container)]
            if "image/png" in kinds or any(True for _ in output.findall(nodes.image)):
                cell.remove(code)

    def outputs(self):
        """Of each output keep what suits paper: a table, a picture, text. A run of checks becomes a line."""
        for bundle in self.each(nodes.container, lambda node: node.get("nb_element") == "mime_bundle"):
            kinds = {part["mime_type"]: part for part in bundle.children}
            page = kinds["text/html"].astext() if "text/html" in kinds else ""
            if "<table" in page and "image/png" not in kinds:
                bundle.replace_self(web_table(grid=html_table(page)))
            elif chosen := next((kinds[kind] for kind in ("image/png", "text/plain") if kind in kinds), None):
                bundle.replace_self(chosen.children)
            else:
                raise ExtensionError(f"{self.docname}: an output has nothing for print: {sorted(kinds)}")
        for block in self.each(nodes.literal_block, lambda node: "stream" in node["classes"]):
            if "[ok] " in block.astext():
                block.replace_self(list(self.checked(block)))

    def checked(self, block):
        for checks, lines in badges.runs(block.astext()):
            if checks:
                yield raw(rf"\bookchecks{{{self.line_of_checks(lines)}}}")
            elif text := "\n".join(lines).strip("\n"):
                part = block.deepcopy()
                part.children = [nodes.Text(text)]
                part.rawsource = text
                yield part

    def line_of_checks(self, lines):
        checks = [badges.LINE.fullmatch(line) for line in lines]
        count = sum(int(check["times"] or 1) for check in checks)
        labels = dict.fromkeys(check["of"] for check in checks if check["of"])
        things = [linked(page, anchor, text) for text, page, anchor in (badges.number(self.env, of) for of in labels)]
        claims = dict.fromkeys(check["claim"] for check in checks)
        names = [linked(badges.LEDGER, f"claim-{claim}", claim, r"\bookclaim") for claim in claims]
        return (
            f"{count} check{'s' if count > 1 else ''}{': ' if things else ''}{', '.join(things)} · {', '.join(names)}"
        )

    def facts(self):
        """Set the ledger's lines ragged; say where a check stands by its page, and name a file of tests once."""
        for line in self.each(nodes.paragraph, lambda node: "claim-fact" in node["classes"]):
            label, rest = line[0].astext().rstrip(":"), line.children[2:]
            if label == "Verdict" and repeated(line):
                line.parent.remove(line)
                continue
            if label == "In the book":
                rest = list(self.places(rest))
            elif label == "Unit tests":
                rest = list(by_file(rest))
            line.replace_self(fact_node("", nodes.paragraph("", "", *line.children[:2], *rest)))

    def places(self, links):
        """Yield the headings under which checks stand, each once, with their pages."""
        labels, groups = self.env.get_domain("std").anonlabels, {}
        for link in links:
            if isinstance(link, addnodes.pending_xref):
                page = labels[link["reftarget"]][0]
                name = re.sub(r" \(\d+\)$", "", link.astext())
                groups.setdefault((page, name), []).append(link)
        for (page, _), found in groups.items():
            anchors = ",".join(f"{page}:{link['reftarget']}" for link in found)
            yield from [nodes.Text("; ")] if found is not next(iter(groups.values())) else []
            yield found[0]
            yield nodes.raw("", rf", \bookpages{{{anchors}}}", format="latex")
        if not groups:
            yield from links

    def web(self):
        """Translate what is written in HTML, or drop what says that print shows something else, or nothing, instead."""
        for box in self.each(nodes.container, lambda node: "site-only" in node["classes"]):
            box.parent.remove(box)
        for part in self.each(nodes.raw, lambda node: "html" in node["format"].split()):
            text = part.astext()
            if part.get("in_print") or SITE_ONLY.match(text) or UNSEEN.fullmatch(text):
                part.parent.remove(part)
            elif "<svg" in text:
                part.replace_self(raw(drawing(text)))
            elif opened := OPENED.fullmatch(text):
                part.replace_self(raw(rf"\begin{{bookpath}}{{{inline(opened[1])}}}"))
            elif text.strip() == "</details>":
                part.replace_self(raw(r"\end{bookpath}"))
            else:
                raise ExtensionError(f"{self.docname}: HTML has nothing for print: {text[:200]!r}")

    def proofs(self):
        for proof in self.each(proof_node):
            proof.replace_self(proof_block("", *proof[0].children))

    def results(self):
        for node in self.each(nodes.Element, lambda node: isinstance(node, tuple(NODE_TYPES.values()))):
            name = node["realtype"].title()
            if node["ids"][0] in self.env.toc_fignumbers.get(self.docname, {}).get(node["countertype"], {}):
                name += f" {self.number(node['countertype'], node['ids'][0])}"
            title = node[0].children if isinstance(node[0], nodes.title) else []
            node.replace_self(
                result_node("", heading(without_parentheses(title)), *content(node), name=name, ids=node["ids"])
            )

    def exercises(self):
        """Set exercises apart, and collect their solutions at the end of the chapter."""
        names, titles, solutions = {}, {}, solutions_node()
        for node in self.each(exercise_enumerable_node):
            label = node["ids"][0]
            names[label] = f"Exercise {self.number('exercise', label)}"
            titles[label] = node[0].children[1].children if len(node[0].children) > 1 else []
            node.replace_self(
                exercise_box("", heading(titles[label]), *content(node), name=names[label], ids=node["ids"])
            )
        for node in self.each(solution_node):
            node.parent.remove(node)
            of = node["target_label"]
            title = [child.deepcopy() for child in titles[of]]
            name = f"Solution to {linked(self.docname, of, names[of])}"
            solutions += exercise_box("", heading(title), *content(node), name=name, ids=node["ids"], solution=True)
        if solutions.children:
            next(self.file.findall(nodes.section)).append(solutions)

    def folds(self):
        for section in self.each(nodes.section):
            title = section.next_node(nodes.title)
            if title is not None and title.parent is section and title.astext().startswith(DETAILS):
                place = section.parent.index(section)
                above = [one for one in section.parent[:place] if not isinstance(one, nodes.target | nodes.comment)]
                section["fold"] = "next" if above and above[-1].get("fold") else "first"


class Bibliography(SphinxPostTransform):
    """Entries stay on their page; Sphinx would put them behind the last one."""

    default_priority = 600
    formats = ("latex",)

    def run(self, **kwargs):
        if self.app.builder.name == "print":
            for entry in list(self.document.findall(nodes.citation)):
                entry.replace_self(entry_node("", *entry.children[1:], label=entry[0].astext(), ids=entry["ids"]))


def repeated(line):
    """Whether a verdict says no more than the badge beside the claim's name."""
    term = line.parent.parent.next_node(nodes.term)
    return f"Verdict: {term.children[-1].astext()}" == line.astext()


def by_file(tests):
    """Yield the names of tests, those of a file behind its name."""
    last = None
    for test in tests:
        if not isinstance(test, nodes.literal):
            if last is None:
                yield test
            continue
        file, _, name = test.astext().partition("::")
        if file != last:
            yield from [nodes.Text("; ")] if last else []
            yield from (nodes.literal(text=file), nodes.Text(": "))
        else:
            yield nodes.Text(", ")
        yield nodes.literal(text=name)
        last = file


def content(node):
    """Return what a box holds below its title."""
    below = node.children[1:] if isinstance(node[0], nodes.title) else node.children
    return [child for part in below for child in (part.children if isinstance(part, nodes.section) else [part])]


def heading(children):
    return nodes.inline("", "", *children)


def without_parentheses(children):
    """Return " (a name)" as "a name": the parentheses belong to the site's format."""
    children = [child.deepcopy() for child in children]
    if children and isinstance(children[0], nodes.Text):
        children[0] = nodes.Text(str(children[0]).lstrip().removeprefix("("))
    if children and isinstance(children[-1], nodes.Text):
        children[-1] = nodes.Text(str(children[-1]).removesuffix(")"))
    return children


def linked(page, anchor, text, macro=""):
    shown = f"{macro}{{{escaped(text)}}}" if macro else escaped(text)
    return rf"\hyperref[\detokenize{{{page}:{anchor}}}]{{{shown}}}" if page else shown


def raw(text):
    return nodes.raw("", f"{text}\n", format="latex")


# --- the file around it ---


def configure(app, config):
    """Set up the builder: A4, fonts, the title page. tools/pdf.py sets `print_edition`."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    paper = citation["references"][0]
    config.latex_engine = "xelatex"
    config.latex_documents = [(config.root_doc, "book.tex", config.html_title, config.author, "manual")]
    config.latex_table_style = ["booktabs"]
    config.latex_use_xindy = False
    config.latex_domain_indices = False  # of theorems it would list bare labels; typeset.py writes a list with names
    config.latex_show_urls = "no"
    config.today = config.print_edition or f"version {citation['version']}"
    preamble = (HERE / "in_print.tex").read_text(encoding="utf-8")
    words = {
        "TITLE": escaped(config.html_title),
        "EDITION": escaped(config.today),
        "VERSION": escaped(str(citation["version"])),
        "AUTHORS": escaped(config.author),
        "PAPER": escaped(said(paper)),
        "LICENSE": escaped(COPYRIGHT),
    }
    for word, text in words.items():
        preamble = preamble.replace(f"<{word}>", text)
    config.latex_elements = {
        "papersize": "a4paper",
        "pointsize": "10pt",
        "extraclassoptions": "openany,oneside",
        "fncychap": "",
        "polyglossia": "",
        "babel": "",
        "fontpkg": (HERE / "in_print_fonts.tex").read_text(encoding="utf-8"),
        "fvset": r"\fvset{fontsize=\fontsize{8.6}{10.2}\selectfont}",
        "sphinxsetup": "hmargin={28mm,28mm}, vmargin={24mm,24mm}, verbatimwithframe=false, "
        "verbatimhintsturnover=false, "
        "VerbatimColor={HTML}{F4F6F8}, TitleColor={HTML}{1B2A38}, "
        "InnerLinkColor={HTML}{1F5C85}, OuterLinkColor={HTML}{1F5C85}",
        "hyperref": (HERE / "in_print_links.tex").read_text(encoding="utf-8"),
        "preamble": preamble,
        "maketitle": r"\booktitlepage",
        "figure_align": "!htb",
        "tocdepth": r"\setcounter{tocdepth}{1}",
    }


def said(paper):
    """Return the paper's entry of CITATION.cff as one sentence."""
    names = [f"{one['given-names']} {one['family-names']}" for one in paper["authors"]]
    where = f"{paper['collection-title']}, {paper['publisher']['name']}, {paper['year']}"
    return f"{', '.join(names[:-1])} and {names[-1]}: {paper['title']} {where}. doi:{paper['doi']}"


def setup(app):
    app.add_config_value("print_edition", "", "")
    app.add_builder(PrintBuilder)
    app.add_post_transform(ForPaper)
    app.add_post_transform(Bibliography)
    for node in NODES:
        visit, depart = (getattr(PrintTranslator, f"{way}_{node.__name__}") for way in ("visit", "depart"))
        app.add_node(node, print=(visit, depart))
    app.connect("config-inited", configure, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
