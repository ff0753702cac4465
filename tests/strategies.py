"""What property tests draw: matrices of every shape, rank and scale, in every form that NumPy and SciPy can give them.

Hypothesis draws the structure and a seed, NumPy the numbers: an example costs a few draws, whatever its size, and a
failure prints the call that makes it, ready for `@example(...)`. A law that fails on one stays fixed by that example.

Each run draws the same ones, everywhere. LAW_EXAMPLES=1000 draws so many of each law, and others each time.
"""

import os

import numpy as np
import scipy.sparse as sp
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from hypothesis.internal.conjecture import providers
from instances import planted_svd
from oracles import orthonormal_columns, random_orthogonal

from cossim_helpers import Factors

many = os.environ.get("LAW_EXAMPLES")
settings.register_profile(
    "laws",
    max_examples=int(many or 20),
    derandomize=not many,  # then no folder .hypothesis is written either
    database=None,
    deadline=None,
    print_blob=bool(many),
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],  # a slow machine is no fault
)
settings.load_profile("laws")
# Hypothesis also tries numbers that stand in modules which happen to be loaded, and keeps them in .hypothesis: then the
# order of tests, and each change of the package, would choose the examples.
providers._get_local_constants = providers.Constants

SEEDS = st.integers(0, 999)
EXPONENTS = st.sampled_from([0, 0, 0, -1, 1, -3, 3, -6, 6])  # of the scale


# --- functions that make a matrix: what `@example` takes ---


def drawn(kind, n, p, seed):
    """Random entries: "binary", "counts", "signed", "nonnegative" or "sparse"."""
    rng = np.random.default_rng([n, p, seed])
    match kind:
        case "binary":
            return (rng.random((n, p)) < 0.5).astype(float)
        case "counts":
            return rng.poisson(2.0, (n, p)).astype(float)
        case "signed":
            return rng.standard_normal((n, p))
        case "nonnegative":
            return rng.random((n, p))
        case "sparse":
            return np.where(rng.random((n, p)) < 0.2, rng.standard_normal((n, p)), 0.0)
    raise ValueError(kind)


def planted(sigma, n, p, seed):
    """These singular values, as many as there is room for, and zeros."""
    return planted_svd(sorted(sigma, reverse=True)[: min(n, p)], n, p, np.random.default_rng([n, p, seed]))[0]


def decorated(X, empty=(), twins=(), exponent=0):
    """X with empty users and items, users and items that repeat others, times 10^exponent.

    `empty` and `twins` hold numbers: of a row if even, of a column if odd, each modulo what there is.
    """
    X = np.array(X, float)
    for number in twins:
        half = number // 2
        if number % 2:
            X[:, (half + 1) % X.shape[1]] = X[:, half % X.shape[1]]
        else:
            X[(half + 1) % len(X)] = X[half % len(X)]
    for number in empty:
        half = number // 2
        if number % 2:
            X[:, half % X.shape[1]] = 0.0
        else:
            X[half % len(X)] = 0.0
    return X * 10.0**exponent


def factors_of(kind, p, k, seed, empty=(), exponent=0):
    """Factors: "generic", "equal" (A = B), "low rank", or "nonnegative"."""
    rng = np.random.default_rng([p, k, seed])
    A, B = rng.standard_normal((2, p, k))
    if kind == "equal":
        A = B
    elif kind == "low rank":
        B = B[:, :1] * rng.standard_normal(k)
    elif kind == "nonnegative":
        A, B = abs(A), abs(B)
    return Factors(decorated(A, empty, exponent=-exponent), decorated(B, empty, exponent=exponent))


def rotation(kind, k, seed):
    """Orthogonal (k, k): "any", "flip" of signs, "swap" of dimensions, or "none"."""
    rng = np.random.default_rng([k, seed])
    match kind:
        case "any":
            return random_orthogonal(k, rng)
        case "flip":
            return np.diag(rng.choice([-1.0, 1.0], k))
        case "swap":
            return np.eye(k)[rng.permutation(k)]
    return np.eye(k)


def diagonal(k, seed, decades):
    """Nonzero numbers of either sign, shape (k,), spread over so many powers of ten."""
    rng = np.random.default_rng([k, seed])
    return rng.choice([-1.0, 1.0], k) * 10 ** (decades * (rng.random(k) - 0.5))


def invertible(k, seed, decades):
    """(k, k) with singular values spread over so many powers of ten."""
    rng = np.random.default_rng([k, seed])
    return random_orthogonal(k, rng) * abs(diagonal(k, seed, decades)) @ random_orthogonal(k, rng)


def orthonormal(n, k, seed):
    return orthonormal_columns(n, k, np.random.default_rng([n, k, seed]))


# --- strategies ---


def sides(longest=9):
    """(n, p): tall, wide, square, one user, one item, one entry."""
    side = st.sampled_from([*range(2, longest + 1)] * 2 + [1])
    return st.tuples(side, side)


def singular_values():
    """Lists with ties, gaps, zeros, and some near zero."""
    return st.lists(st.sampled_from([1.0, 1.0, 2.0, 2.0, 3.0, 0.0, 5.0, 1e-3, 1e-5, 0.5]), min_size=2, max_size=7)


KINDS = ("binary", "counts", "signed", "nonnegative", "sparse")
NUMBERS = st.lists(st.integers(0, 11), max_size=2).map(tuple)


@st.composite
def matrices(draw, longest=9, exponents=EXPONENTS, kinds=KINDS):
    """X (n, p), float64: any shape and rank, ties, empty users and items, twins, units from 1e-6 to 1e6."""
    n, p = draw(sides(longest))
    made = [st.builds(drawn, st.sampled_from(kinds), st.just(n), st.just(p), SEEDS)]
    if "signed" in kinds:
        made.append(st.builds(planted, singular_values(), st.just(n), st.just(p), SEEDS))
        if n * p <= 12:
            made.append(hnp.arrays(np.float64, (n, p), elements=st.sampled_from([0.0, 1.0, -1.0, 2.0, 0.5])))
    return draw(st.builds(decorated, st.one_of(made), NUMBERS, NUMBERS, exponents))


def whole_matrices(longest=9):
    """X (n, p) of 0, 1, 2, …, float64: any dtype holds them."""
    return matrices(longest, exponents=st.just(0), kinds=("binary", "counts"))


@st.composite
def problems(draw, **options):
    """(X, λ, k): λ is 0, small, large, a singular value, its square, between two, each of them to rounding; k any."""
    X = draw(matrices(**options))
    sigma = np.linalg.svd(X, compute_uv=False)
    unit = sigma[0] or 1.0
    choices = [
        0.3 * unit,
        0.0,
        0.3 * unit**2,
        1e-6 * unit,
        1e6 * unit,
        *sigma,
        *sigma**2,
        *(sigma[1:] + sigma[:-1]) / 2,
    ]
    return X, float(draw(st.sampled_from(choices))), draw(st.sampled_from(range(sigma.size, 0, -1)))


@st.composite
def models(draw, longest=9):
    """(X, factors) of the same number of items: whatever vectors a model may have, fitted to X or not."""
    X = draw(matrices(longest))
    kinds = st.sampled_from(["generic", "generic", "equal", "low rank", "nonnegative"])
    k = draw(st.sampled_from((3, 1, 2, 5)))
    exponent = st.sampled_from([0, 0, -3, 3, -6, 6])
    return X, draw(st.builds(factors_of, kinds, st.just(X.shape[1]), st.just(k), SEEDS, NUMBERS, exponent))


def rotations(k):
    return st.builds(rotation, st.sampled_from(["any", "any", "flip", "swap", "none"]), st.just(k), SEEDS)


def diagonals(k, decades=6):
    return st.builds(diagonal, st.just(k), SEEDS, st.sampled_from([0, 1, decades]))


def invertibles(k, decades=2):
    return st.builds(invertible, st.just(k), SEEDS, st.sampled_from([0, 1, decades]))


# --- the same numbers in another form: of an array of any real dtype ---


def strided(X):
    wide = np.ones((2 * X.shape[0], 3 * X.shape[1]), X.dtype)
    wide[::2, ::3] = X
    return wide[::2, ::3]


def reversed_in_memory(X):
    return X[::-1, ::-1].copy()[::-1, ::-1]


def read_only(X):
    X = X.copy()
    X.setflags(write=False)
    return X


def halves(values):
    """Two parts that add up to the values, in their own type."""
    half = values // 2 if values.dtype.kind in "iu" else values & False if values.dtype == bool else values / 2
    return half, values ^ half if values.dtype == bool else values - half


def split_entries(X):
    """COO whose entries come in two halves, in no order: they add up."""
    X = sp.coo_array(X)
    order = np.random.default_rng(X.nnz).permutation(2 * X.nnz)
    row, column = np.tile(X.row, 2)[order], np.tile(X.col, 2)[order]
    return sp.coo_array((np.concatenate(halves(X.data))[order], (row, column)), shape=X.shape)


def split_rows(X):
    """CSR with duplicate entries, in no order within a row."""
    columns, values = [], []
    for row in X:
        there = np.flatnonzero(row)
        columns.append(np.append(there, there[::-1]))
        first, second = halves(row[there])
        values.append(np.append(first, second[::-1]))
    indptr = np.cumsum([0, *map(len, columns)])
    return sp.csr_array((np.concatenate(values), np.concatenate(columns), indptr), shape=X.shape)


def stored_zeros(X):
    """CSR that stores each number, zeros too."""
    n, p = X.shape
    return sp.csr_array((X.ravel().copy(), np.tile(np.arange(p), n), np.arange(n + 1) * p), shape=X.shape)


def long_indices(X):
    X = sp.csr_array(X)
    X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    return X


LAYOUTS = {
    "Fortran": np.asfortranarray,
    "strided": strided,
    "reversed": reversed_in_memory,
    "read-only": read_only,
    "big-endian": lambda X: X.astype(X.dtype.newbyteorder(">")),
    "long double": lambda X: X.astype(np.longdouble),
    "list": np.ndarray.tolist,
    "memory view": lambda X: memoryview(np.ascontiguousarray(X)),
}
FORMATS = ("csr", "csc", "coo", "lil", "dok", "bsr", "dia")
SPARSE = {
    **{f"{name} array": getattr(sp, f"{name}_array") for name in FORMATS},
    **{f"{name} matrix": getattr(sp, f"{name}_matrix") for name in FORMATS},
    "split entries": split_entries,
    "split rows": split_rows,
    "stored zeros": stored_zeros,
    "long indices": long_indices,
}
FORMS = LAYOUTS | SPARSE
DTYPES = ("bool", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "g", ">i2", ">u8", ">f4")

forms = st.sampled_from(list(FORMS))
dtypes = st.sampled_from(DTYPES)


def in_form(name, X):
    return FORMS[name](X)
