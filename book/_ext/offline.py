"""Pages that ask no other host for anything, and carry only what they use.

MathJax comes from the installed package sphinx-mathjax-offline: the parts listed here, without its menu and its
speech engine, its large fonts cut to the letters and to the symbols that the formulas of the book name. Font Awesome
comes from the installed theme, as two fonts and one list of names, cut to the few icons that the pages show.
"""

import html
import re
from importlib.util import find_spec
from pathlib import Path

from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont
from sphinx.errors import ExtensionError
from sphinx.util.fileutil import copy_asset

MATHJAX = Path(find_spec("sphinx-mathjax-offline").origin).parent / "static" / "mathjax"
TEX_PACKAGES = ["ams", "boldsymbol", "configmacros", "newcommand"]  # not noundefined: an undefined macro is an error
COMPONENTS = ["input/tex-base", *(f"[tex]/{name}" for name in TEX_PACKAGES), "output/chtml", "a11y/assistive-mml"]
FILES = [
    *("startup.js", "core.js", "a11y/assistive-mml.js", "input/tex-base.js"),
    *(f"input/tex/extensions/{name}.js" for name in TEX_PACKAGES),
    *("output/chtml.js", "output/chtml/fonts/tex.js"),
    *(f"output/chtml/fonts/woff-v2/{path.name}" for path in (MATHJAX / "output/chtml/fonts/woff-v2").iterdir()),
]
LARGE_FONTS = ["AMS-Regular", "Main-Bold", "Main-Regular"]
SYMBOL = re.compile(r'([A-Za-z]+)"?:\[?(?:"\w+",)?"(?:\\u)?([0-9a-fA-F]{4})"')  # top:"\u22a4", vec:["Accent","2192"]
UNNAMED = "−∗′⋅…⋯√∣∥⟨⟩―\u2061\u2062\u2063"  # what TeX makes of -, *, ', \|, \overline …, and invisible operators
FORMULA = re.compile(r'<(span|div) class="math notranslate nohighlight"[^>]*>(.*?)</\1>', re.DOTALL)
FONTS = {"fa-solid-900": "icons.woff", "fa-brands-400": "brands.woff"}  # custom.css names the cut ones
KINDS = (".ttf", ".woff2")  # from version 0.18 on the theme holds the second alone, which fontTools reads with Brotli
# a name and its character: content:"\f185" up to version 6 of Font Awesome, --fa:"\f185" from 7 on
ICON_RULE = re.compile(r'((?:\.fa-[\w-]+(?::before)?,?)+)\{(?:content|--fa):"([^"]+)"\}')


def configure_mathjax(app, config):
    config.mathjax_path = "mathjax/startup.js"
    config.mathjax3_config = {"loader": {"load": COMPONENTS}, "tex": {"packages": ["base", *TEX_PACKAGES]}}


def icon_characters(css, used):
    """Return what style sheets show as icons: of Font Awesome's own list the used names, and all of the rest."""
    listed = "".join(code for names, code in ICON_RULE.findall(css) if used & set(re.findall(r"fa-([\w-]+)", names)))
    text = listed + ICON_RULE.sub("", css)
    escaped = {chr(int(code, 16)) for code in re.findall(r"\\([ef][0-9a-f]{3})\b", text)}
    return escaped | set(re.findall(r"[\ue000-\uf8ff]", text))


def without_icons(css, used):
    """Return a style sheet without the rules of Font Awesome's list for names that are not used."""
    return ICON_RULE.sub(lambda rule: rule[0] if used & set(re.findall(r"fa-([\w-]+)", rule[1])) else "", css)


def symbols(pages, tables):
    """Return what the formulas of pages may show beyond ASCII, Latin and Greek: written, or named by a macro."""
    formulas = html.unescape("".join(formula for _, formula in FORMULA.findall(pages)))
    macros = set(re.findall(r"\\([A-Za-z]+)", formulas))
    named = {chr(int(code, 16)) for name, code in SYMBOL.findall(tables) if name in macros}
    return {*named, *UNNAMED, *(character for character in formulas if ord(character) >= 0x400)}


def font_of(folder, name):
    """Return the file of a font of icons, in the first form that the installed theme holds."""
    for kind in KINDS:
        if (path := folder / f"{name}{kind}").is_file():
            return path
    raise ExtensionError(f"{folder} holds no {name} as {' or '.join(KINDS)}: where does the theme keep its icons now?")


def cut_font(source, target, characters):
    font, subsetter = TTFont(source, recalcTimestamp=False), Subsetter(Options(hinting=False, drop_tables=["FFTM"]))
    subsetter.populate(text="".join(characters))
    subsetter.subset(font)
    font.flavor = "woff"
    font.save(target)


def without_unused(css, pages):
    """Rules of sphinx-design without those whose selectors all name a class of its own that no page has."""

    def kept(rule):
        selectors = rule[1].split(",")
        used = [name for name in selectors if all(each in pages for each in re.findall(r"\.(sd-[\w-]+)", name))]
        return rule[0] if used else ""

    return re.sub(r"(?<=[};/])(\.sd-[^{}@]*)\{[^{}]*\}", kept, css)


def finish(app, exception):
    if exception or app.builder.format != "html":
        return
    out = Path(app.outdir)
    static = out / "_static"
    for name in FILES:
        copy_asset(MATHJAX / name, (static / "mathjax" / name).parent)

    # the theme would replace each icon by a drawing, from a script that holds all of them
    (static / "scripts" / "fontawesome.js").write_text("// The icons are a font: icons.woff\n", encoding="utf-8")

    def text(pattern):
        return "".join(path.read_text(encoding="utf-8") for path in sorted(out.rglob(pattern)))

    pages = text("*.html")
    used = set(re.findall(r"fa-([\w-]+)", pages + text("*.js")))
    characters = icon_characters(text("*.css"), used)
    for source, target in FONTS.items():
        cut_font(font_of(static / "vendor" / "fontawesome" / "webfonts", source), static / target, characters)
    theme = static / "styles" / "pydata-sphinx-theme.css"
    theme.write_text(without_icons(theme.read_text(encoding="utf-8"), used), encoding="utf-8")

    design = static / "sphinx-design.min.css"
    design.write_text(without_unused(design.read_text(encoding="utf-8"), pages), encoding="utf-8")

    tables = "".join((MATHJAX / name).read_text(encoding="utf-8") for name in FILES if name.startswith("input/"))
    characters = {*map(chr, range(0x400)), *symbols(pages, tables)}
    for name in LARGE_FONTS:
        font = f"output/chtml/fonts/woff-v2/MathJax_{name}.woff"
        cut_font(MATHJAX / font, static / "mathjax" / font, characters)


def setup(app):
    app.connect("config-inited", configure_mathjax)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
