"""Bind every measured number of the book's text to the cell that computes it: `make numbers`.

    python -m tools.bindings [FILE ...]                     bind what is unambiguous, sign constants, print the rest
    python -m tools.bindings --choices CHOICES [FILE ...]   bind what the lines of CHOICES say, too
    python -m tools.bindings --list [FILE ...]              each bound number beside the line that it comes from
    python -m tools.bindings --check [FILE ...]             only say what is wrong
    python -m tools.bindings --mutate 60 --seed 1 [FILE …]  change last digits, one by one: what goes unnoticed?

FILE is a notebook, a page, or cossim_helpers/claims.yml; without any, all of them. CONTRIBUTING.md has the rule and the
procedure, texts.py says what an address is.
"""

import argparse
import random
import re
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

from tools.texts import HEADING, OPEN, Book, agrees, place

POWER = re.compile(r"[-−+]?10[\^⁻⁰¹²³⁴-⁹]")
SHOWN = 6  # candidates for each number


# Proposals


def candidates(book, text, number, bound=()):
    """Return the addresses that give a number, the likeliest first: [(rank, address, line)].

    A rank starts with 0 in the section, 1 in the chapter, 2 elsewhere. Cells of `bound`, which the text names already,
    precede their equals.
    """
    used = {place(address) for address in bound if address != OPEN}
    section = text.section + len(HEADING.findall(text.text[: number.start]))
    context = set(re.findall(r"\w+", text.text[max(0, number.start - 200) : number.end + 100].lower()))

    def alike(line):
        return len(context & set(re.findall(r"[^\W\d]{3,}", line.lower())))

    found, size, margin = [], abs(number.value), 1.01 * number.step
    power = POWER.match(number.written)
    for cell in book.cells.values():
        here = cell.notebook == text.file
        near = here or (bool(text.near) and cell.notebook.startswith(text.near))
        rank = 0 if here and cell.section == section else 1 if near else 2
        away = text.position - cell.position if here else 99
        away = away if away >= 0 else 0.5 - away  # what precedes is nearer than what follows
        for address, (source, line) in cell.sources.items():
            if not power and min(abs(abs(source.value) - size), abs(100 * abs(source.value) - size)) > margin:
                continue  # most of them: no need to look closer
            words = ways(number, source)
            if words is None:
                continue
            odd = len([word for word in words if word != "percent" or not number.percent])
            inexact = source.value != number.value and "percent" not in words
            kind = "#@!".index(address[len(cell.id)])
            likely = (cell.id not in used, -alike(line)) if rank == 0 else (-alike(line), cell.id not in used)
            found.append(((rank, odd, inexact, kind, *likely, away), " ".join([*words, address]), line))
    for sources in book.modules.values():
        for address, (source, line) in sources.items():
            if source.value == number.value:
                found.append(((2, 0, False, 1, -alike(line), True, 99), address, line))
    return sorted(found)


def ways(number, source):
    """Return the words of TRANSFORMS by which a number of a text may follow from a source, or None."""
    share = 0 < abs(source.value) < 5 and source.value != int(source.value)
    if number.percent and share and not source.percent:
        tries = [["percent"], ["percent", "above"], ["percent", "below"]]
    else:
        tries = [[], *([["percent"]] if share and number.step >= 1 and number.value <= 100 else [])]
        tries += [["above"], ["below"], ["size"]] if source.value else []
    if POWER.match(number.written):
        tries.append(["power"])
    return next((words for words in tries if agrees(number, source.value, words)), None)


def distinctive(number):
    """Say whether a number is unlikely to stand somewhere by accident: it has two digits that count."""
    return len(re.sub(r"\D", "", number.written).strip("0")) >= 2


def keep(book, text):
    """Return an address for each number of a text, in order: the stored ones that still hold, else OPEN."""
    found, stored = text.measured, [address for address in text.bound if address != OPEN]

    def fits(i, j):
        try:
            return book.holds(found[i], stored[j])
        except ValueError:
            return False

    longest = [[0] * (len(stored) + 1) for _ in range(len(found) + 1)]  # common subsequence from i and j on
    for i in reversed(range(len(found))):
        for j in reversed(range(len(stored))):
            both = longest[i + 1][j + 1] + 1 if fits(i, j) else 0
            longest[i][j] = max(longest[i + 1][j], longest[i][j + 1], both)
    kept, i, j = [OPEN] * len(found), 0, 0
    while i < len(found) and j < len(stored):
        if fits(i, j) and longest[i][j] == longest[i + 1][j + 1] + 1:
            kept[i] = stored[j]
            i, j = i + 1, j + 1
        elif longest[i][j] == longest[i + 1][j]:
            i += 1
        else:
            j += 1
    return kept


def propose(book, text, choices):
    """Return (the text with all bindings that are certain, lines on the others, how many have no source at all)."""
    bound, found, lines, missing = keep(book, text), text.measured, [], 0
    for n, number in enumerate(found):
        if chosen := choices.get(f"{text.key}:{n + 1}"):
            if not book.holds(number, chosen):
                raise ValueError(f"{text.key}:{n + 1}: {number.written} is not {book.source(chosen)[0].written}")
            bound[n] = chosen
        elif bound[n] == OPEN and distinctive(number):
            options = candidates(book, text, number)
            certain = [address for rank, address, _ in options if rank[:2] == (0, 0) and "#" in address]
            bound[n] = certain[0] if len(certain) == 1 else OPEN
    for n, number in enumerate(found):
        if bound[n] != OPEN:
            continue
        name, options = f"{text.key}:{n + 1}", candidates(book, text, number, bound)
        lines.append(f"\n# {text.around(number)}")
        if not options:
            missing += 1
            lines.append(f"# {name}: NO CELL gives {number.written}: print it, or take it out")
        for position, (rank, address, line) in enumerate(options[:SHOWN]):
            likely = position == 0 and (rank[0] == 0 or (rank[:3] == (1, 0, False) and not text.beside))
            lines.append(f"{'' if likely else '# '}{name} = {address}   | {line[:90]}")
    new = replace(
        text, bound=tuple(bound), constants=text.signature, layout=book.layout(bound), words=text.signed_words
    )
    return new, lines, missing


def read_choices(path):
    """Return {text:n: address} from the lines that propose() writes, those that start with # apart."""
    lines = [line.split("   | ")[0] for line in path.read_text("utf-8").splitlines()]
    return dict(line.split(" = ", 1) for line in lines if " = " in line and not line.startswith("#"))


# Mutations


def mutations(texts, rng):
    """Yield texts with one last digit changed, in a random order, as (kind, number, text)."""
    places = []
    for text in texts:
        spans = [(number.start, number.end) for number in text.measured]
        for match in re.finditer(r"\d[\d,.]*", text.text):
            last = match.start() + len(match.group().rstrip(",.")) - 1
            kind = "measured" if any(start <= last < end for start, end in spans) else "constant"
            places.append((kind, text, match, last))
    rng.shuffle(places)
    for kind, text, match, last in places:
        digit = rng.choice([digit for digit in "0123456789" if digit != text.text[last]])
        yield kind, match.group(), replace(text, text=text.text[:last] + digit + text.text[last + 1 :])


def mutate(book, texts, count, seed):
    """Return how many changed digits the guard notices, by kind, and those that it does not."""
    noticed, unnoticed = Counter(), []
    for _, (kind, number, text) in zip(range(count), mutations(texts, random.Random(seed))):
        if any(book.problems(text)):
            noticed[kind] += 1
        else:
            unnoticed.append(f"{text.key}: {number} ({kind})")
    return noticed, unnoticed


# The command


def listing(book, text):
    """Yield each number of a text in its sentence, and the line that it is bound to."""
    for number, address in zip(text.measured, text.bound):
        try:
            line = "" if address == OPEN else book.source(address)[1]
        except ValueError as error:
            line = f"{error}"
        yield f"{text.key}  {text.around(number, 45)}\n        {address}  {line}"


def bind(book, texts, choices, files):
    """Bind, store, and print what is left. Return how many numbers are."""
    known = {f"{text.key}:{n + 1}" for text in texts for n in range(len(text.measured))}
    if strangers := sorted(set(choices) - known):
        raise ValueError(f"these texts have no number {', '.join(strangers)}")
    left, missing = 0, 0
    for text in texts:
        new, lines, without = propose(book, text, choices)
        if text.layout and text.layout != book.layout(text.bound):
            print("\n# REVIEW: a cell prints other words now. Is each number still the one that is meant?")
            print("".join(f"# {line}\n" for line in "\n".join(listing(book, new)).splitlines()), end="")
        if any(address != OPEN for address in text.bound) and text.constants != new.constants:
            print(f"# signed anew: the constants of {text.key}")
        if text.words != new.words:
            print(f"# signed {'anew' if text.words else 'first'}, read it: the words of {text.key}")
        print("".join(f"{line}\n" for line in lines), end="")
        book.take(new)
        left, missing = left + new.bound.count(OPEN), missing + without
    book.write(files)
    print(f"# {left} numbers are not bound, {missing} of these have no source", file=sys.stderr)
    return left


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--choices", type=Path, help="a file of lines `text:n = address`")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--mutate", type=int, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("files", nargs="*", type=Path)
    options = parser.parse_args()
    book = Book()
    known = {text.file for text in book.texts}
    files = {path.name for path in options.files} or known
    if files - known:
        sys.exit(f"no text of the book: {', '.join(sorted(files - known))}")
    texts = [text for text in book.texts if text.file in files]
    problems = [problem for text in texts for problem in book.problems(text)]
    if options.list:
        print("\n".join(line for text in texts for line in listing(book, text)))
    elif options.check:
        print("\n".join(problems))
        sys.exit(bool(problems))
    elif options.mutate:
        if problems:
            sys.exit("bind all numbers first: --check says which are not")
        noticed, unnoticed = mutate(book, texts, options.mutate, options.seed)
        print(f"noticed: {noticed['measured']} measured, {noticed['constant']} constant; unnoticed: {len(unnoticed)}")
        print("\n".join(unnoticed))
        sys.exit(bool(unnoticed))
    else:
        try:
            left = bind(book, texts, read_choices(options.choices) if options.choices else {}, files)
        except ValueError as error:
            sys.exit(f"nothing is stored: {error}")
        sys.exit(bool(left))


if __name__ == "__main__":
    main()
