"""What people use in the place of `spectrum`, each as a call on the same data, with its arguments as documented.

A call returns ("V", V), right singular vectors as columns; or ("Eq. 1", A, B) or ("Eq. 2", U, B), where it minimizes
an objective of the book. Names without a package are not run, with the reason.
"""

from __future__ import annotations

import importlib.util

import numpy as np
import scipy.linalg
import scipy.optimize
import scipy.sparse as sp
from scipy.sparse.linalg import svds

from cossim_helpers import spectrum

OURS = "spectrum (ours)"
NEEDS = {"torch svd_lowrank": "torch", "Dask svd_compressed": "dask", "implicit ALS": "implicit"}
STEPS = 500  # of Adam, and at most of L-BFGS
LARGEST_GRAM = 2_000  # columns up to which the optimizers run: each step multiplies p × p by p × k


def ours(X, k, lam):
    return "V", spectrum(X, k).V


def arpack(X, k, lam):
    return "V", svds(X, k, rng=np.random.default_rng(0))[2].T


def propack(X, k, lam):
    return "V", svds(X, k, solver="propack", rng=np.random.default_rng(0))[2].T


def randomized(X, k, lam):
    from sklearn.utils.extmath import randomized_svd

    return "V", randomized_svd(X, k, random_state=0)[2].T


def truncated(X, k, lam):
    from sklearn.decomposition import TruncatedSVD

    return "V", TruncatedSVD(k, random_state=0).fit(X).components_.T


def full(X, k, lam):
    dense = X.toarray() if sp.issparse(X) else X
    return "V", scipy.linalg.svd(dense, full_matrices=False)[2][:k].T


def torch_lowrank(X, k, lam):
    import warnings

    import torch

    warnings.filterwarnings("ignore", message="Sparse")
    torch.manual_seed(0)
    if sp.issparse(X):
        parts = (torch.tensor(getattr(X, name)) for name in ("indptr", "indices", "data"))
        table = torch.sparse_csr_tensor(*parts, X.shape)
    else:
        table = torch.tensor(X)
    return "V", torch.svd_lowrank(table, q=k + 10)[2][:, :k].numpy()


def dask_compressed(X, k, lam):
    import dask
    import dask.array as da

    rows = 5_000
    blocks = [X[first : first + rows] for first in range(0, X.shape[0], rows)]
    dense = [dask.delayed(lambda block: block.toarray() if sp.issparse(block) else block)(block) for block in blocks]
    shapes = [block.shape for block in blocks]
    table = da.concatenate([da.from_delayed(one, shape, dtype=float) for one, shape in zip(dense, shapes)])
    _, _, Vt = da.linalg.svd_compressed(table, k, n_power_iter=2, seed=0)
    return "V", Vt.compute(scheduler="synchronous").T


def _of_gram(X, k, lam):
    """Eq. 1 by XᵀX, which these optimizers are given for nothing but its time: (value, gradient) at z = (A, B)."""
    G = X.T @ X
    G = G.toarray() if sp.issparse(G) else G
    G, total = G / (scale := np.trace(G)), 1.0

    def function(z):
        A, B = z.reshape(2, -1, k)
        GA, GB, AA, BB = G @ A, G @ B, A.T @ A, B.T @ B
        AGA = A.T @ GA
        value = total - 2 * np.sum(GA * B) + np.sum(AGA * BB) + lam / scale * np.sum(AA * BB)
        slope_A = 2 * (GA @ BB - GB + lam / scale * A @ BB)
        return value, np.concatenate([slope_A.ravel(), 2 * (B @ AGA - GA + lam / scale * B @ AA).ravel()])

    return function, 0.1 * np.random.default_rng(0).standard_normal(2 * G.shape[0] * k)


def lbfgs(X, k, lam):
    function, start = _of_gram(X, k, lam)
    options = {"maxiter": STEPS, "maxfun": 2 * STEPS, "gtol": 1e-9, "ftol": 1e-15}
    end = scipy.optimize.minimize(function, start, jac=True, method="L-BFGS-B", options=options).x
    return "Eq. 1", *end.reshape(2, -1, k)


def adam(X, k, lam):
    function, z = _of_gram(X, k, lam)
    first, second = np.zeros((2, z.size))
    for step in range(1, STEPS + 1):
        slope = function(z)[1]
        first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
        rate = 0.01 * (1 + np.cos(np.pi * step / STEPS)) / 2
        z = z - rate * first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.999**step)) + 1e-12)
    return "Eq. 1", *z.reshape(2, -1, k)


def implicit_als(X, k, lam):
    import os

    from implicit.als import AlternatingLeastSquares

    threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
    model = AlternatingLeastSquares(
        factors=k, regularization=np.sqrt(lam) / 2, dtype=np.float64, num_threads=threads, use_gpu=False, random_state=0
    )
    model.fit(sp.csr_matrix(X), show_progress=False)  # all confidences are 1, and so the objective is Eq. 2
    return "Eq. 2", np.asarray(model.user_factors), np.asarray(model.item_factors)


PEERS = {
    OURS: ours,
    "SciPy svds, ARPACK": arpack,
    "SciPy svds, PROPACK": propack,
    "scikit-learn randomized_svd": randomized,
    "scikit-learn TruncatedSVD": truncated,
    "torch svd_lowrank": torch_lowrank,
    "Dask svd_compressed": dask_compressed,
    "full SVD (LAPACK)": full,
    "L-BFGS on Eq. 1": lbfgs,
    "Adam on Eq. 1": adam,
    "implicit ALS": implicit_als,
}
FAST = (OURS, "SciPy svds, ARPACK", "scikit-learn randomized_svd", "scikit-learn TruncatedSVD", "torch svd_lowrank")


def why_not(name: str, n: int, p: int, sparse: bool) -> str:
    """Why a peer is not run on n × p, or ""."""
    if (package := NEEDS.get(name)) and importlib.util.find_spec(package) is None:
        return f"not run: {package} is not installed"
    if name == "full SVD (LAPACK)" and min(n, p) * n * p > 2e11:
        return "not run: its O(n p²) would take minutes to hours"
    if name in ("L-BFGS on Eq. 1", "Adam on Eq. 1") and p > LARGEST_GRAM:
        return "not run: each of its hundreds of steps multiplies p × p numbers by p × k"
    if name == "implicit ALS" and not sparse:
        return "not run: it takes sparse matrices only"
    if name == "SciPy svds, PROPACK" and n * p > 1e8 and p <= 1_000:
        return "not run: at a tenth of the users it is among the slowest"
    if name == "Dask svd_compressed" and n * p > 1e8:
        return "not run: it takes dense blocks, which would be the whole matrix several times over"
    return ""


def objective_gap(found, X, k, lam, sigma) -> float:
    """What a model misses, as a share of what the minimum gains over the model that is zero.

    Singular vectors give the closed form of Eq. 1. Its minimum gains Σ σ⁴/(σ² + λ). That of Eq. 2, with strength
    √λ / 2, gains Σ (σ − √λ / 2)²; sigma holds the exact singular values.
    """
    kind, *factors = found
    if kind == "Eq. 2":
        U, B = factors
        weight = np.sqrt(lam) / 2
        gained = 2 * np.sum(U * (X @ B)) - np.sum((U.T @ U) * (B.T @ B)) - weight * (np.sum(U**2) + np.sum(B**2))
        return 1 - gained / np.sum((sigma - weight) ** 2)
    if kind == "V":
        (V,) = factors
        squares = np.sum((X @ V) ** 2, axis=0)
        A, B = V * (squares / (squares + lam)), V
    else:
        A, B = factors
    XA, XB = X @ A, X @ B
    gained = 2 * np.sum(XA * XB) - np.sum((XA.T @ XA) * (B.T @ B)) - lam * np.sum((A.T @ A) * (B.T @ B))
    return 1 - gained / np.sum(sigma**4 / (sigma**2 + lam))


def projector_error(found, V) -> float:
    """‖V Vᵀ − Q Qᵀ‖₂ for Q an orthonormal basis of what was found: the sine of the largest angle."""
    Q = np.linalg.qr(found[-1])[0]
    return float(np.linalg.norm(Q - V @ (V.T @ Q), 2))
