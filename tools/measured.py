"""The numbers of a text, and the rule that tells what was measured or set from a plain constant (see CONTRIBUTING.md).

Every number of a text is one of the two. A measured one is bound to the place that it comes from (bindings.py); the
constants of a text are signed together. So no digit of a text can change unnoticed.
"""

import hashlib
import re
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

SMALL = 10  # whole numbers up to here are constants, unless they stand in a count, a percentage or a decimal
NAME = "A-Za-z0-9_À-ɏͰ-Ͽ⁰-₟"  # a digit behind one of these belongs to a name or an exponent; Japanese has no spaces
DIGITS = r"(?:\d{1,3}(?:(?:,|\{,\}|_|\\,)\d{3})+(?!\d)|\d+)(?:\.\d+)?"
SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
POWER = r"10(?:\^\{(?P<braced>[-−]?\d+)\}|\^(?P<plain>\d)|(?P<raised>⁻?[⁰¹²³⁴⁵⁶⁷⁸⁹]+))"
NUMBER = re.compile(
    rf"(?<![{NAME}.^\\#@])(?P<sign>(?<![\d)}}\]])[-−+])?"
    rf"(?:(?P<digits>{DIGITS})(?P<e>[eE][-+]?\d+)?(?:\s*(?:\\cdot|\\times|·|×)\s*(?P<factor>{POWER}))?"
    r"(?P<many>\s+(?:thousand|million|billion)\b)?)"
)
BARE_POWER = re.compile(rf"(?<![{NAME}.^\\#@])(?P<sign>(?<![\d)}}\]])[-−+])?{POWER}")
MANY = {"thousand": 3, "million": 6, "billion": 9}
PERCENT = re.compile(r"\s*(?:\\?%|percent\b|パーセント)")

# What addresses and names: no number in it is measured.
ONE = r"\s*\d+(?:[–-]\d+)?(?![\d.,]*\d)(?!\s*(?:\\?%|percent))"
SEVERAL = r"\s*\d+(?:(?:, \d+)*,? (?:and|or|to) \d+|[–-]\d+)?(?![\d.,]*\d)(?!\s*(?:\\?%|percent))"
NUMBERED = (
    r"[Ee]quation|[Cc]hapter|[Ff]igure|[Tt]heorem|[Ll]emma|[Pp]art|[Ee]xercise|[Tt]able|[Ss]tep|[Pp]anel|[Cc]ase|[Ii]tem"
    r"|[Dd]irection|[Ss]eed"
)
ADDRESSES = [
    r"^[ \t]*[`:]{3,}\{(?:solution-start\}[^\n]*|[^}\n]*\})",  # the name of a directive; what a solution names
    r"^[ \t]*:[\w-]+:[^\n]*$",  # an option of a directive
    r"^\([\w-]+\)=$",  # a label
    r"\{[\w:+-]+\}`[^`]*`",  # a role
    r"(?<!`)(`{1,2})(?!`)[^`]+?(?<!`)\1(?!`)",  # code; three ticks are a fence
    r"\]\([^)\s]*\)",  # the target of a link
    r"https?://\S+",
    r"\barXiv:\S+",
    r"<[a-zA-Z/!][^>\n]*>",
    r"^[ \t]*(?:[-*] )?\d+\.(?=\s)",  # a number of a list
    r"(?:§§?|\b[Ss]ections?|\bPython|\bCC BY|\bversion)\s*\d+(?:\.\d+)*(?:(?: and| to|–)\s*\d\.\d\b)*",
    rf"\b(?:{NUMBERED}|[Ee]q\.|[Cc]h\.|[Ff]ig\.){ONE}",
    rf"\b(?:(?:{NUMBERED})s|[Ee]qs\.|[Ff]igs\.){SEVERAL}",
    r"第\s*\d+",
    r"\b(?:19|20)\d\d\b(?=[\s).,;:–]|$)(?!,\d)",  # a year
    r"^\*\*Time:\*\*[^\n]*$",
    r"\b\d+-bit\b",
]
ADDRESS = re.compile("|".join(f"(?:{pattern})" for pattern in ADDRESSES), re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^[ \t]*(?P<fence>`{3,}|:{3,}|~{3,})(?P<rest>.*)$", re.MULTILINE)
MATH = re.compile(
    r"^[ \t]*(`{3,})\{math\}.*?^[ \t]*\1`*[ \t]*$|\\begin\{(align|equation|gather)(\*?)\}.*?\\end\{\2\3\}"
    r"|\$\$.*?\$\$|(?<!\\)\$(?:\\.|[^$\\])+\$",
    re.MULTILINE | re.DOTALL,
)
# Between these a formula has sides. A side that is nothing but a number is a value.
SIDES = re.compile(
    r"\$+|\\\\|&|=|<|>|(?<!\{),(?!\d{3}(?!\d))|;|\\(?:approx|le|leq|ge|geq|ll|gg|in|to|sim|pm|mp|dots|ldots|quad|qquad|text"
    r"|Longleftrightarrow|Rightarrow|iff|mapsto)\b(?:\{[^}]*\})?|[()\[\]]|\\[{}]|[≈≤≥±→…·:]|\\begin\{\w+\*?\}"
    r"|\\end\{\w+\*?\}|^[ \t]*`{3,}.*$|^:\w+:.*$",
    re.MULTILINE,
)
ARGUMENTS = re.compile(r"(?<=[A-Za-z}])\([^()$]*\)")  # Unif(0.25, 1.5)
SIDE_NOISE = re.compile(r"\\[,;!: %]|%|~|\s|\{,\}|\.$")
COUNT = re.compile(
    r"(?<![/.])\d[\d,]*(?=(?:\s+(?:of|in|out of)\s+(?:the\s+|its\s+|all\s+|those\s+)?\d))"
    r"|(?<=\d)(?<!\.)\s+(?:of|in|out of)\s+(?:the\s+|its\s+|all\s+|those\s+)?\d[\d,]*"
    r"|(?<![/.])\d[\d,]*(?=\s+(?:(?:other|more|random|further|different|wide|small)\s+)?"
    r"(?:seeds?|runs?|starts?|trials?|readings?|trainings?|devices?|data sets?|simulations?|instances?)\b)"
)

# What is signed beside the bindings: all other digits, raised and lowered ones and fractions too, and number words.
SIGNED = re.compile(
    r"[-−]?\d+(?:[.,]\d+)*|[⁰¹²³⁴-⁹⁻₀-₉½⅓⅔¼¾⅕⅖⅗⅘⅙⅛]+"
    r"|\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen"
    r"|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand|million|half|halves"
    r"|thirds?|quarters?|fifths?|sixths?|sevenths?|eighths?|ninths?|tenths?|twice)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Number:
    """A number of a text: where it stands, what it says, and how far a value may lie that rounds to it."""

    start: int
    end: int
    written: str
    value: float
    step: float  # one unit of the last digit shown
    percent: bool
    measured: bool = False


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def read(match, text):
    """Return the number that a match of NUMBER or BARE_POWER says."""
    groups = match.groupdict()
    exponent = next((groups[name] for name in ("braced", "plain", "raised") if groups[name]), "0")
    exponent = int(exponent.translate(SUPERSCRIPTS).replace("−", "-"))
    digits = re.sub(r"\{,\}|\\,|[,_]", "", groups.get("digits") or "1")
    exponent += int((groups.get("e") or "e0")[1:]) + MANY.get((groups.get("many") or "").strip(), 0)
    exact = Decimal(digits) * Decimal(10) ** exponent
    last = Decimal(digits).as_tuple().exponent if groups.get("digits") else -1  # 10⁻³ is 1.0·10⁻³
    step = Decimal(10) ** (last + exponent)
    negative = groups["sign"] in ("-", "−")
    percent = bool(PERCENT.match(text, match.end()))
    return Number(match.start(), match.end(), match.group(), float(-exact if negative else exact), float(step), percent)


def numbers(text):
    """Return all numbers that stand by themselves, in order: not those inside of names, like the 5 of V_5 or fig1."""
    found, taken = [], []
    plain = list(NUMBER.finditer(text))
    for matches in ([match for match in plain if match["factor"]], BARE_POWER.finditer(text), plain):
        found += [read(match, text) for match in matches if not inside(match.end() - 1, taken)]
        taken = [(number.start, number.end) for number in found]
    return sorted(found, key=lambda number: number.start)


def inside(position, spans):
    return any(start <= position < end for start, end in spans)


def spans(pattern, text):
    return [match.span() for match in pattern.finditer(text)]


def listings(text):
    """Return the spans of blocks of code: fences that no directive opens, or one of code."""
    found, open_ = [], []
    for line in FENCE.finditer(text):
        if open_ and line["fence"].startswith(open_[-1]["fence"]) and not line["rest"].strip():
            opening = open_.pop()
            if not opening["rest"].startswith("{") or opening["rest"].startswith("{code"):
                found.append((opening.start(), line.end()))
        else:
            open_.append(line)
    return found


def value_spans(text):
    """Yield the sides of formulas that are nothing but a number: `$0.36$`, the 4.4 of `$\\kappa = 4.4$`."""
    text = ARGUMENTS.sub(lambda match: "?" * len(match.group()), text)
    for formula in MATH.finditer(text):
        borders = [(formula.start(), formula.start()), *spans(SIDES, text[: formula.end()])]
        borders = [border for border in borders if border[0] >= formula.start()] + [(formula.end(), formula.end())]
        for (_, start), (end, _) in pairwise(borders):
            side = SIDE_NOISE.sub("", text[start:end])
            if re.fullmatch(rf"[-−+]?(?:{DIGITS}(?:(?:\\cdot|\\times){POWER_PLAIN})?|{POWER_PLAIN})", side):
                yield start, end


POWER_PLAIN = re.sub(r"\?P<\w+>", "?:", POWER)


def is_measured(number, text, addresses, formulas, values, counts):
    """The rule. CONTRIBUTING.md says it in words."""
    if inside(number.start, addresses):
        return False
    if inside(number.start, formulas) and not inside(number.end - 1, values):
        return False
    if re.match(r"[A-Za-zͰ-Ͽ]", text[number.end :]):  # 3D, 2nd
        return False
    fraction = "." in number.written or number.percent or number.step > 1 or number.step < 1
    return fraction or abs(number.value) > SMALL or inside(number.end - 1, counts)


def scan(text):
    """Return all numbers of a text, in order, with what the rule says of each."""
    formulas, values = spans(MATH, text), list(value_spans(text))
    addresses = [span for span in spans(ADDRESS, text) if not inside(span[0], formulas)] + listings(text)
    counts = spans(COUNT, text)
    return [
        Number(**{**vars(number), "measured": is_measured(number, text, addresses, formulas, values, counts)})
        for number in numbers(text)
    ]


def measured(text):
    return [number for number in scan(text) if number.measured]


def constants(text, bound):
    """Return what a text signs, given its measured numbers: each digit outside of them, and each number word."""
    for number in bound:
        text = text[: number.start] + "\0" * (number.end - number.start) + text[number.end :]
    return SIGNED.findall(text)
