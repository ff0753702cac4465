"""What the pages say of a loss is what cossim_helpers/losses.yml says: one source for chapter, guide and tests."""

import re
from pathlib import Path

import determines
import pytest
import yaml
from markdown_it.common.utils import unescapeAll

from cossim_helpers import LOSSES, determined
from tools import toc
from tools.notebooks import loads

BOOK = Path(__file__).parents[2] / "book"
DECIDE = (BOOK / "decide.md").read_text(encoding="utf-8")
MODELS = DECIDE.split("## Which equation are you?")[1].split("## What to set")[0]
CHAPTER = loads((BOOK / "11_what_your_loss_determines.ipynb").read_text(encoding="utf-8"))
PAGES = "".join(path.read_text(encoding="utf-8") for path in toc.pages())

# A row of the guide's table of models, and the losses that it is about.
ROWS = {
    "**ALS**, also": ["dot-decay"],
    "**ALS** with": ["squared"],
    "**BPR**": ["bpr"],
    "**Two towers**, dot": ["two-tower-dot", "softmax"],
    "**Two towers**, normalized": ["infonce-one-sided"],
    "**word2vec**": ["skip-gram"],
    "**Sentence encoder**": ["tied-cosine"],
    "**CLIP**": ["clip"],
}
SEEN = {"scores": "ot products", "rows": "up to one number|of the scores of one user", "constant": "up to one constant"}


def row(name):
    return re.search(rf"^\* - {re.escape(name)}.*?(?=^\* - |^```)", MODELS, re.MULTILINE | re.DOTALL)[0]


@pytest.mark.parametrize(("name", "losses"), ROWS.items())
def test_a_row_of_the_guide_says_what_the_loss_sees_and_which_case_it_is(name, losses):
    cells = re.split(r"\n  - ", row(name))
    for loss in losses:
        assert cells[3].strip().startswith(determines.case(loss))
        assert re.search(SEEN[determined(loss).sees], cells[1])


@pytest.mark.parametrize(("name", "losses"), ROWS.items())
def test_a_row_of_the_guide_links_to_what_proves_the_table(name, losses):
    if any("-11-" in determined(loss).theorem for loss in losses) and name != "**ALS**, also":
        assert f"`{determined(losses[0]).theorem}`" in row(name)


def test_each_loss_is_a_case_of_the_guide():
    cases = {determines.case(loss) for loss in LOSSES}
    assert cases - {""} == set(re.findall(r"^You are \*\*case (\w)\*\*\.$", DECIDE, re.MULTILINE))


def test_the_guide_lists_every_loss():
    assert "```{determined}\n```" in DECIDE
    listed = unescapeAll(determines.listed(LOSSES))
    assert all(f"**{determined(loss).label}**" in listed for loss in LOSSES)
    assert [listed.count(f"**{determined(loss).label}**") for loss in LOSSES] == [1] * len(LOSSES)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_listed_verdicts_are_those_of_the_table(loss):
    verdicts = determined(loss).verdicts
    _, value, order, rule = re.split(
        r"\n  - ", unescapeAll(determines.listed([loss])).split("* - ")[2].removesuffix("\n```")
    )
    for said, name in ((value, "item_item_value"), (order, "item_item_order")):
        expected = verdicts[name]
        assert said == (f"only if {expected.condition}" if expected.answer == "if" else expected.answer)
    assert rule == determined(loss).rule


@pytest.mark.parametrize("loss", LOSSES)
def test_what_proves_a_row_stands_in_the_book(loss):
    label = determined(loss).theorem
    assert f":label: {label}\\n" in PAGES or f":label: {label}\n" in PAGES


def test_the_table_of_the_chapter_has_a_row_for_each_loss():
    printed = next(
        output.data["text/plain"]
        for cell in CHAPTER.cells
        for output in cell.get("outputs", [])
        if "What is determined" in output.get("data", {}).get("text/plain", "")
    )
    for loss in map(determined, LOSSES):
        [line] = [line for line in printed.splitlines() if line.strip().startswith(loss.label)]
        answers = [loss.verdicts[name].answer for name in ("user_item_value", "user_item_order")]
        answers += [loss.verdicts[name].answer for name in ("item_item_value", "item_item_order")]
        assert re.findall(r"\b(yes|no|if)\b", line.strip().removeprefix(loss.label)) == answers
        assert loss.rule in printed


def test_the_sentences_on_one_encoder_and_two_towers_follow_the_table():
    """The rule that the pages repeat in words: myths, questions, the guide."""
    tied, clip = determined("tied-cosine").verdicts, determined("clip").verdicts
    assert tied["item_item_value"].condition.startswith("s is fixed")
    assert tied["item_item_order"].answer == "yes"
    assert "Any text may meet any other" in determined("tied-cosine").remark
    for words in ("spare", "general position"):
        assert words in clip["item_item_value"].condition
    assert "cones" in determined("clip").freedom
    for page in ("myths.md", "questions.md", "decide.md"):
        text = (BOOK / page).read_text(encoding="utf-8")
        assert re.search(r"one\s+encoder", text, re.IGNORECASE)
        assert re.search(r"any\s+text\s+against\s+any\s+other", text)
        assert re.search(r"general\s+position,\s+not\s+on\s+cones", text)
        assert "temperature" in text


def test_the_claims_of_the_table_are_in_the_ledger():
    text = (BOOK.parent / "cossim_helpers" / "claims.yml").read_text(encoding="utf-8")
    ids = {claim["id"] for claim in yaml.safe_load(text)["claims"] if claim["chapter"] == 11}
    mentioned = set(re.findall(r"\{claim\}`(loss-[\w-]+)`", CHAPTER.cells[0].source))
    assert ids == mentioned
