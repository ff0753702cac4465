"""How fast, how exact and how frugal `spectrum` is on data of the paper's size: `make bench`.

    python benchmarks/spectra.py [--rounds N] [--users N]

Fails where one of the figures that the book promises is missed.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from measure import interleaved, peak_memory, report
from scipy.sparse.linalg import svds
from sklearn.utils.extmath import randomized_svd

from cossim_helpers import simulate_interactions, spectrum

K = 50
ARRAYS = ("data", "indices", "indptr")  # of a CSR array
FASTER_THAN = {"scipy svds (ARPACK)": 5.0, "scikit-learn randomized_svd": 1.5}
SIGMA_ERROR, PROJECTOR_ERROR, GAP, MEMORY = 1e-8, 1e-8, 1e-7, 500.0


def speed(X, rounds):
    print(f"\nTop {K} singular pairs, {rounds} rounds")
    return report(
        interleaved(
            {
                "spectrum": lambda: spectrum(X, K),
                "scipy svds (ARPACK)": lambda: svds(X, k=K, v0=np.ones(X.shape[1])),
                "scikit-learn randomized_svd": lambda: randomized_svd(X, K, random_state=0),
            },
            rounds,
        ),
        "spectrum",
        FASTER_THAN,
    )


def errors(sigma, V, full_sigma, full_V):
    """(largest relative error of σ, largest error of V_j V_jᵀ over the ranks j where the gap is wide enough)."""
    k, squares = sigma.size, np.append(full_sigma**2, 0.0)
    ranks = [j for j in range(1, k + 1) if squares[j - 1] - squares[j] > GAP * squares[0]]
    projector = max(abs(V[:, :j] @ V[:, :j].T - full_V[:, :j] @ full_V[:, :j].T).max() for j in ranks)
    return float(np.max(abs(sigma - full_sigma[:k]) / full_sigma[:k])), float(projector)


def accuracy(X):
    print("\nAgainst a full SVD of the dense matrix")
    _, full_sigma, full_Vt = scipy.linalg.svd(X.toarray(), full_matrices=False, overwrite_a=True)
    missed = []
    found = spectrum(X, K)
    _, sigma, Vt = randomized_svd(X, K, random_state=0)
    for name, pairs in {"spectrum": (found.sigma, found.V), "scikit-learn randomized_svd": (sigma, Vt.T)}.items():
        of_sigma, of_projector = errors(*pairs, full_sigma, full_Vt.T)
        print(f"{name:28} σ within {of_sigma:.0e} relative, projectors within {of_projector:.0e}")
        if name == "spectrum" and (of_sigma > SIGMA_ERROR or of_projector > PROJECTOR_ERROR):
            missed.append(f"spectrum: σ within {of_sigma:.1e}, projectors within {of_projector:.1e}")
    return missed


def memory(X):
    """What a new process that holds X, and has never held more, holds at most while `spectrum` runs."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ARRAYS:  # each in a file of its own, which is read without a second copy
            np.save(Path(folder) / f"{name}.npy", getattr(X, name))
        command = [sys.executable, __file__, "--memory-of", folder, "--shape", *map(str, X.shape)]
        beyond = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print(f"\nPeak memory beyond X: {beyond:.0f} MB (below {MEMORY:.0f} wanted)")
    return [f"peak memory: {beyond:.0f} MB"] if beyond >= MEMORY else []


def memory_of(folder, shape):
    X = sp.csr_array(tuple(np.load(folder / f"{name}.npy") for name in ARRAYS), shape=shape)
    spectrum(X[:100], 2)  # load the libraries and wake their threads
    before = peak_memory()
    spectrum(X, K)
    print(peak_memory() - before)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--memory-of", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--shape", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        return memory_of(options.memory_of, options.shape)
    X = simulate_interactions(options.users, rng=0).X
    print(f"{X.shape[0]:,} × {X.shape[1]:,}, {X.nnz:,} non-zeros")
    missed = memory(X) + speed(X, options.rounds) + accuracy(X)
    return "missed:\n  " + "\n  ".join(missed) if missed else None


if __name__ == "__main__":
    sys.exit(main())
