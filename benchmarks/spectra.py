"""How fast, how frugal and how exact `spectrum` is beside what people use instead: `make bench`.

    python benchmarks/spectra.py [--rounds N] [--only paper …] [--output other.csv]

Writes benchmarks/results/spectra.csv, which the page "Benchmarks" shows. Each method computes in a process of its own.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from measure import interleaved, row, serve, show, store
from peers import FAST, OURS, PEERS, objective_gap, projector_error, why_not
from scipy.sparse.linalg import svds

from cossim_helpers import simulate_interactions

K = 50
ARRAYS = ("data", "indices", "indptr")  # of a CSR array
DATA = {  # name → n, p, what else the simulation takes
    "paper": (20_000, 1_000, {}),
    "users": (200_000, 1_000, {}),
    "items": (20_000, 5_000, {"max_activity": 500}),
    "many items": (20_000, 20_000, {"max_activity": 500}),
    "dense": (20_000, 1_000, {}),
}
PLAN = (  # data, threads, kernel of OpenBLAS ("" is its own choice), whether all peers take part or the fast ones
    ("paper", 1, "", True),
    ("paper", 1, "Haswell", False),
    ("paper", 2, "", False),
    *((name, 1, "", True) for name in ("items", "dense", "users", "many items")),
)


def draw(name, folder):
    """Store the data, and the k + 1 largest singular values with their V, from another way than any peer's."""
    n, p, law = DATA[name]
    X = simulate_interactions(n, p, **law, rng=0).X
    if name == "dense":
        X = X.toarray() - X.mean(axis=0)
    if p <= 5_000:  # all eigenvalues of XᵀX, exact for counts
        squares, V = scipy.linalg.eigh((X.T @ X).toarray() if sp.issparse(X) else X.T @ X)
        squares, V = squares[::-1][: K + 1], V[:, ::-1]
    else:  # ARPACK to rounding, with more vectors than the peer of this name asks for, and from another start
        _, sigma, Vt = svds(X, 2 * K, ncv=4 * K, v0=np.random.default_rng(9).standard_normal(min(n, p)))
        squares, V = np.sort(sigma**2)[::-1], Vt[np.argsort(-sigma)].T
    for key in ARRAYS if sp.issparse(X) else ():
        np.save(folder / f"{key}.npy", getattr(X, key))
    if not sp.issparse(X):
        np.save(folder / "dense.npy", X)
    np.save(folder / "sigma.npy", np.sqrt(squares[:K]))
    np.save(folder / "V.npy", V[:, :K])
    nonzeros = X.nnz if sp.issparse(X) else X.size
    return {"data": name, "n": n, "p": p, "nonzeros": nonzeros, "k": K}


def load(folder, shape):
    """The matrix, its pages shared between processes."""
    if (folder / "dense.npy").exists():
        X = np.load(folder / "dense.npy", mmap_mode="r")
        X.sum()  # in memory before the clock runs
        return X
    X = sp.csr_array(tuple(np.load(folder / f"{key}.npy", mmap_mode="r") for key in ARRAYS), shape=shape)
    X.sum()
    return X


def work(name, folder, shape):
    X, sigma, V = load(folder, shape), np.load(folder / "sigma.npy"), np.load(folder / "V.npy")
    lam = float(sigma[-1] ** 2)
    small = sp.csr_array(X[:400, :60]) if sp.issparse(X) else X[:400, :60]
    PEERS[name](small + 0, 2, 1.0)  # load the libraries and wake their threads
    serve(
        lambda: PEERS[name](X, K, lam),
        lambda found: {
            "projector_error": projector_error(found, V),
            "objective_gap": float(objective_gap(found, X, K, lam, sigma)),
        },
    )


def measure(name, threads, kernel, everyone, rounds):
    with tempfile.TemporaryDirectory() as folder:
        about = draw(name, Path(folder))
        shape = (about["n"], about["p"])
        reasons = {peer: why_not(peer, *shape, name != "dense") for peer in (PEERS if everyone else FAST)}
        commands = {
            peer: [__file__, "--work", peer, folder, *map(str, shape)] for peer, reason in reasons.items() if not reason
        }
        reports = interleaved(commands, rounds, threads, kernel)
    about |= {"threads": threads}
    found = {peer: row(reports[peer], reports[OURS]) for peer in commands}
    empty = dict.fromkeys(found[OURS], "") | {"kernel": found[OURS]["kernel"]}
    return [about | {"method": peer} | found.get(peer, empty) | {"note": reason} for peer, reason in reasons.items()]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=DATA)
    parser.add_argument("--output", default="spectra.csv", help="in benchmarks/results")
    parser.add_argument("--work", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        peer, folder, *shape = options.work
        return work(peer, Path(folder), tuple(map(int, shape)))
    rows = []
    for name, *how in PLAN:
        if not options.only or name in options.only:
            rows += (some := measure(name, *how, options.rounds))
            print(
                f"\n{name}: {some[0]['n']:,} × {some[0]['p']:,}, {some[0]['nonzeros']:,} non-zeros, k = {K}; ", end=""
            )
            print(f"kernel {some[0]['kernel']}, threads: {some[0]['threads']}")
            show(some)
            store(options.output, rows)


if __name__ == "__main__":
    sys.exit(main())
