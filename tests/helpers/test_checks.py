import itertools
import re
import sys
import warnings

import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from cossim_helpers import check, check_at_least, check_at_most, check_differs
from cossim_helpers._check_lines import counted, say

ID = "eq3-rescaling"


def test_a_check_prints_one_stable_line(capsys):
    check(ID, [1.0, 2.0], [1.0, 2.0 + 1e-12])
    check(ID, 3, 3.0, rtol=0.5, atol=0)
    check(ID, np.ones((2, 2)), 1.0)
    check_differs(ID, np.zeros(3), [0, 0, 0.5], at_least=0.25)
    check_at_most(ID, [1e-12, -5], 1e-9)
    check_at_most(ID, [1.0, 2.0], [1.5, 2.0])
    check_at_least(ID, [2, 5], 1.5)
    check_at_least(ID, [1.5, 2.0], [1.0, 2.0])
    assert capsys.readouterr().out.splitlines() == [
        "[ok] eq3-rescaling: equal within rtol=0, atol=1e-10",
        "[ok] eq3-rescaling: equal within rtol=0.5, atol=0",
        "[ok] eq3-rescaling: equal within rtol=0, atol=1e-10",
        "[ok] eq3-rescaling: differ by at least 0.25",
        "[ok] eq3-rescaling: at most 1e-09",
        "[ok] eq3-rescaling: at most its bound, everywhere",
        "[ok] eq3-rescaling: at least 1.5",
        "[ok] eq3-rescaling: at least its bound, everywhere",
    ]


@pytest.mark.parametrize(
    "call",
    [
        lambda: check(ID, 1.0, 1.0 + 1e-9),
        lambda: check(ID, [1.0, 2.0], [1.0, 2.1], rtol=0.01),
        lambda: check(ID, [np.nan], [1.0]),
        lambda: check(ID, [np.nan], [np.nan]),
        lambda: check(ID, [np.inf], [np.inf]),
        lambda: check_differs(ID, [1.0], [1.05], at_least=0.1),
        lambda: check_differs(ID, [np.nan], [1.0], at_least=0.1),
        lambda: check_at_most(ID, [0.0, 1.1], 1.0),
        lambda: check_at_most(ID, np.nan, 1.0),
        lambda: check_at_most(ID, [1.0, 2.0], [1.0, 1.9]),
        lambda: check_at_most(ID, -np.inf, 1.0),
        lambda: check_at_least(ID, [2.0, 0.9], 1.0),
        lambda: check_at_least(ID, np.nan, 1.0),
        lambda: check_at_least(ID, [1.0, 1.9], [1.0, 2.0]),
        lambda: check_at_least(ID, np.inf, 1.0),
    ],
)
def test_a_check_can_fail(call, capsys):
    with pytest.raises(AssertionError, match=ID):
        call()
    assert capsys.readouterr().out == ""


A = np.arange(3.0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: check("no-such-claim", 1.0, 1.0),
            ValueError,
            "claim_id takes an id of claims.yml, got 'no-such-claim'",
        ),
        (lambda: check(7, 1.0, 1.0), TypeError, "claim_id takes text, got 7"),
        (lambda: check(ID, True, True), TypeError, "actual takes real numbers, got bool"),
        (lambda: check(ID, np.ones(3, bool), 1.0), TypeError, "actual takes real numbers, got bool"),
        (lambda: check(ID, 1.0, np.True_), TypeError, "expected takes real numbers, got bool"),
        (lambda: check(ID, "1", 1.0), TypeError, "actual takes real numbers"),
        (lambda: check(ID, None, 1.0), TypeError, "actual takes real numbers"),
        (lambda: check(ID, 1j, 1.0), TypeError, "actual takes real numbers"),
        (lambda: check(ID, A, A), ValueError, "same object, which checks nothing"),
        (lambda: check(ID, A, A[:]), ValueError, "same object, which checks nothing"),
        (lambda: check(ID, x := np.array(0.5), x[...]), ValueError, "same object, which checks nothing"),
        (lambda: check(ID, x := 0.5, x), ValueError, "same object, which checks nothing"),
        (lambda: check_at_most(ID, A, A), ValueError, "same object"),
        (lambda: check(ID, A, A[:2]), ValueError, r"expected takes .* shape \(3,\) like actual, got shape \(2,\)"),
        (lambda: check(ID, 1.0, A), ValueError, "expected takes a single number"),
        (lambda: check(ID, [], []), ValueError, "actual takes at least one number"),
        (lambda: check(ID, 1.0, 2.0, atol=np.inf), ValueError, "atol takes a finite number"),
        (lambda: check(ID, 1.0, 2.0, rtol=-1), ValueError, "rtol takes a finite number of at least 0"),
        (lambda: check_differs(ID, 1.0, 2.0, at_least=0.0), ValueError, "at_least takes a finite number above 0"),
        (lambda: check_differs(ID, 1.0, 2.0, at_least=-1), ValueError, "at_least takes a finite number above 0"),
        (lambda: check_differs(ID, False, 2.0, at_least=1), TypeError, "a takes real numbers"),
        (lambda: check_at_most(ID, 1.0, True), TypeError, "bound takes real numbers"),
        (lambda: check_at_least(ID, A, A), ValueError, "same object"),
        (lambda: check_at_least("no-such-claim", 1.0, 0.0), ValueError, "claim_id takes an id of claims.yml"),
        (lambda: check_at_least(ID, A, A[:2]), ValueError, r"bound takes .* shape \(3,\) like value"),
        (lambda: check_at_least(ID, True, 0.0), TypeError, "value takes real numbers"),
    ],
)
def test_bad_input_names_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    ("value", "bound", "message"),
    [
        ([0.0, 1.5], 1.0, "1 of 2 exceed their bound, by up to 0.5"),
        ([0.0, 0.25], 1.0, "2 of 2 fall short of their bound, by up to 1$"),
    ],
)
def test_a_failing_bound_says_how_far_it_was_missed(value, bound, message):
    bounded = check_at_most if "exceed" in message else check_at_least
    with pytest.raises(AssertionError, match=message):
        bounded(ID, value, bound)


def test_unsigned_integers_do_not_wrap_around():
    with pytest.raises(AssertionError):
        check(ID, np.array([1], np.uint8), np.array([2], np.uint8))
    check_differs(ID, np.array([1], np.uint8), np.array([2], np.uint8), at_least=1)
    check(ID, np.array([1], np.uint8), np.array([2], np.uint8), atol=1.0)
    check_at_most(ID, np.array([1], np.uint8), np.array([2], np.uint8))
    check_differs(ID, np.array([100], np.int8), np.array([-100], np.int8), at_least=200)


# What it is a check of


def test_a_line_says_what_is_checked(capsys):
    check(ID, 1.0, 1.0 + 1e-12, of="eq-3")
    check_differs(ID, 1.0, 2.0, at_least=0.5, of="thm-cosine-maps")
    check_at_most(ID, 1.0, 2.0, of="sec-01-maps")
    check_at_least(ID, 2.0, 1.0, of="ex-01-early")
    assert capsys.readouterr().out.splitlines() == [
        "[ok] eq3-rescaling (eq-3): equal within rtol=0, atol=1e-10",
        "[ok] eq3-rescaling (thm-cosine-maps): differ by at least 0.5",
        "[ok] eq3-rescaling (sec-01-maps): at most 2",
        "[ok] eq3-rescaling (ex-01-early): at least 1",
    ]


@pytest.mark.parametrize("of", ["", "Eq. (3)", "eq_3", "eq-3 ", "-eq"])
def test_a_label_that_is_none_is_refused(of):
    with pytest.raises(ValueError, match=r"of takes a label of the book, such as 'eq-1' or 'thm-orbit', got"):
        check(ID, 1.0, 1.0 + 1e-12, of=of)


def test_a_label_is_a_str():
    with pytest.raises(TypeError, match=r"of takes a label of the book, as a str, got 3 \(int\)"):
        check_at_most(ID, 1.0, 2.0, of=3)


# In a notebook


@pytest.fixture
def cell():
    """Return a function that runs a cell in a shell of IPython of its own, and returns what it prints."""
    shell = InteractiveShell.instance()
    shell.run_cell(f"from cossim_helpers import check, check_at_most\nID = {ID!r}", silent=False)

    def run(source):
        with capture_output() as captured:
            shell.run_cell(source)
        return captured.stdout

    yield run
    InteractiveShell.clear_instance()


LINE = "[ok] eq3-rescaling: equal within rtol=0, atol=1e-10"


def test_equal_lines_of_a_cell_are_one_with_their_count(cell):
    assert cell("for x in range(3): check(ID, x, x + 0.0)\nprint(7)") == f"7\n{LINE}, 3 times\n"
    assert cell("check(ID, 1, 1.0)") == f"{LINE}\n"
    assert cell("print(7)") == "7\n"


def test_lines_keep_the_order_of_their_checks(cell):
    source = "check(ID, 1, 1.0)\ncheck_at_most(ID, 1, 2)\ncheck(ID, 2, 2.0)\ncheck(ID, 3, 3.0)"
    assert cell(source) == f"{LINE}\n[ok] eq3-rescaling: at most 2\n{LINE}, 2 times\n"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("", ""),
        ("a", "a"),
        ("aab", "a*2 b"),
        ("abab", "a/2of2 b/2of2"),
        ("ababab", "a/3of2 b/3of2"),
        ("aabaab", "a/2of3 a/2of3 b/2of3"),
        ("abba", "a b*2 a"),
        ("aaaab", "a*4 b"),
        ("cababab", "c a/3of2 b/3of2"),
        ("ababa", "a/2of2 b/2of2 a"),
    ],
)
def test_rounds_of_lines_are_counted(lines, said):
    expected = [
        re.sub(r"\*(\d+)", r", \1 times", re.sub(r"/(\d+)of(\d+)", r", \1 rounds of \2", each)) for each in said.split()
    ]
    assert counted(list(lines)) == expected


def test_no_two_orders_of_checks_are_said_alike():
    orders = ["".join(order) for length in range(1, 8) for order in itertools.product("ab", repeat=length)]
    said = ["\n".join(counted(list(order))) for order in orders]
    assert len(set(said)) == len(orders)


def test_what_was_checked_before_an_error_is_said(cell):
    printed = cell("check(ID, 1, 1.0)\ncheck(ID, 1, 2.0)\ncheck(ID, 3, 3.0)")
    assert printed.endswith(f"{LINE}\n")
    assert "AssertionError" in printed
    assert cell("") == ""


def test_a_shell_is_told_once_to_print_at_the_end_of_its_cells(cell):
    callbacks = InteractiveShell.instance().events.callbacks["post_run_cell"]
    before = len(callbacks)
    cell("check(ID, 1, 1.0)\ncheck(ID, 2, 2.0)")
    cell("check(ID, 3, 3.0)")
    assert len(callbacks) == before + 1


def test_a_long_round_that_comes_once_does_not_hide_a_short_one_that_repeats():
    assert counted(list("aabcdef")) == ["a, 2 times", *"bcdef"]


def test_a_new_shell_prints_too(cell):
    InteractiveShell.clear_instance()
    InteractiveShell.instance()
    check(ID, 1, 1.0)
    with capture_output() as captured:
        InteractiveShell.instance().run_cell("print(8)")
    assert captured.stdout == f"8\n{LINE}\n"


@pytest.mark.parametrize("one", [2**60, np.int64(2**60), np.array([1, 2**60]), np.uint64(2**63)])
def test_integers_that_no_float_holds_are_compared_with_all_digits(one, capsys):
    other = np.array(one) + np.array(1, dtype=np.array(one).dtype)
    check("eq6", np.array(one), one if np.ndim(one) else int(one), atol=0.0)
    check("eq6", np.array(one), np.array(one, dtype=float), atol=0.0)  # powers of two
    with pytest.raises(AssertionError, match="differ by more than"):
        check("eq6", other, one, atol=0.5)
    with pytest.raises(AssertionError, match="differ by more than"):
        check("eq6", other, np.array(one, dtype=float), atol=0.5)
    check("eq6", other, one, atol=1.0)
    check_differs("eq6", other, one, at_least=1.0)
    with pytest.raises(AssertionError, match="exceed their bound, by up to 1"):
        check_at_most("eq6", other, one)
    check_at_least("eq6", other, one)


@pytest.mark.parametrize("sign", [1, -1])
def test_all_digits_count_from_the_first_integer_that_no_float_holds(sign):
    first = sign * (2**53 + 1)
    for actual, expected in ((first, first - sign), ([first, 0], [first - sign, 0]), ([0, first], [0, first - sign])):
        with pytest.raises(AssertionError, match=r"1 of . differ by more than"):
            check(ID, actual, expected, atol=0.5)
    check(ID, [first, 0], [float(first - sign), 1.0], atol=1.0)


def test_long_doubles_are_compared_with_all_digits():
    one, eps = np.longdouble(1), np.finfo(np.longdouble).eps
    for expected in (1.0, one):
        with pytest.raises(AssertionError, match="1 of 1 differ"):
            check(ID, one + eps, expected, atol=0)
    check(ID, np.array([one * 1e300]), [1e300], atol=0)


def test_what_overflows_differs_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for rtol in (0.0, 10.0):
            with pytest.raises(AssertionError, match="1 of 1 differ"):
                check(ID, 1e308, -1e308, rtol=rtol)
        check_differs(ID, 1e308, -1e308, at_least=1)
        check_at_most(ID, -1e308, 1e308)
        check_at_least(ID, 1e308, -1e308)


def test_a_transpose_is_another_array_though_its_memory_is_the_same():
    X = np.array([[1.0, 2.0], [2.0, 3.0]])
    check(ID, X, X.T)
    with pytest.raises(ValueError, match="same object"):
        check(ID, X.T, X[:].T)


# At the bounds


def test_a_tolerance_includes_its_bound_and_takes_the_size_of_what_is_expected():
    check(ID, 1.0, 1.5, atol=0.5)
    check(ID, -2.0, -2.1, rtol=0.1, atol=0)
    check(ID, 7, 7)  # small integers are one object wherever they come from
    with pytest.raises(ValueError, match="atol takes a finite number of at least 0"):
        check(ID, 1.0, 2.0, atol=-1)


def test_the_message_names_the_place_that_is_furthest_off():
    with pytest.raises(AssertionError, match=r"2 of 3 differ .* at \(1,\): "):
        check(ID, [1.0, 9.0, 2.0], [1.0, 1.0, 1.0])


def test_one_infinite_number_among_others_is_refused():
    with pytest.raises(AssertionError, match="NaN or infinite"):
        check_at_most(ID, [0.0, -np.inf], 1.0)


def test_where_nobody_has_loaded_ipython_a_line_is_printed_at_once(monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "IPython")
    say("a line")
    assert capsys.readouterr().out == "a line\n"
