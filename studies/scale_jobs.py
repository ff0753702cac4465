"""The computations behind studies/scale.py: data sets by blocks of users, Figure 1 at other sizes, and what steps cost.

Each function returns what JSON can hold. Seconds are of the processor (`time.process_time`), on one thread.
"""

import os
import time
import zlib
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from readings import gram_of
from scale_sampler import AliasTables, draw_by_alias
from seeds import filtered, mixed_weights, taken_once

from cossim_helpers import (
    NotSettled,
    cosine_similarity,
    gram,
    item_item_cosine,
    krylov_spectrum,
    shrinkage,
    simulate_interactions,
    simulate_users,
    solve_factor_penalty,
    spectrum_from_gram,
    yardsticks,
)

ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM")}
CUT, CUT_AT = 100.0, 20_000  # Figure 1 cuts at σ = 100 for 20,000 users
K = 50
MANY = 300  # items of the most active users where items are many; on average they take 100
USERS_OF_LIMIT = 20_000  # the limit of infinitely many users is taken over the preferences of so many


def alone(task, *arguments):
    """task(*arguments) in a process of its own with one thread, so that its memory and its seconds are its own."""
    os.environ.update(ONE_THREAD)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(task, *arguments).result()


def memory_peak():
    """Megabytes that this process has held at most."""
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss would count the process that started this one
        [line] = [line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) / 1e3
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3  # kilobytes, but on macOS, where it is bytes


def timed(task, *arguments):
    """(the result, seconds of the processor)."""
    start = time.process_time()
    result = task(*arguments)
    return result, time.process_time() - start


def best_of(repeats, task, *arguments):
    """The least seconds of some runs: what disturbs a run only adds to it."""
    return min(timed(task, *arguments)[1] for _ in range(repeats))


# --- many users ---


def by_blocks(n_users, n_items, rows):
    """σ and XᵀX of n_users, simulated and added up `rows` users at a time."""
    start_mb, nonzeros, of_simulation = memory_peak(), 0, 0.0

    def blocks():
        nonlocal nonzeros, of_simulation
        for first in range(0, n_users, rows):
            block, seconds = timed(simulate_users, first, min(rows, n_users - first), n_items)
            nonzeros += block.nnz
            of_simulation += seconds
            yield block

    added_up, of_both = timed(lambda: gram(blocks()))
    top, of_pairs = timed(spectrum_from_gram, added_up, K)
    row = {"n_users": n_users, "n_items": n_items, "rows": rows, "nonzeros": nonzeros, "crc": checksum(added_up)}
    row |= {f"sigma_{i + 1}": top.sigma[i] for i in range(6)}
    row |= {"data_mb": (12 * nonzeros + 4 * n_users) / 1e6, "peak_mb": memory_peak(), "start_mb": start_mb}
    return row | {"simulate_s": of_simulation, "gram_s": of_both - of_simulation, "pairs_s": of_pairs}


def checksum(counts):
    """A number that another bit in any of the counts would change."""
    whole = counts.astype(np.int64)
    if not (whole == counts).all():
        raise ValueError("counts takes whole numbers")
    return zlib.crc32(np.ascontiguousarray(whole, dtype="<i8").tobytes())


# --- Figure 1 with more users ---


def models(added_up, top, n_users):
    """Each cosine of Figure 1 and of chapter 8: penalties grow with the users, but for those that are "as printed"."""
    V, sigma = top.V, top.sigma
    cut = CUT * np.sqrt(n_users / CUT_AT)
    length = np.sqrt(np.diag(added_up))
    return {
        "data": added_up / np.outer(length, length),
        "V_5": cosine_similarity(V[:, :5]),
        "V_6": cosine_similarity(V[:, :6]),
        "V_50": cosine_similarity(V),
        "Eq. 5": filtered(V, shrinkage(sigma, cut**2)),
        "V dMat(d)": filtered(V, shrinkage(sigma, cut**2) ** 2),
        "Eq. 2": filtered(V, np.maximum(sigma - cut, 0)),
        "Eq. 5 as printed": filtered(V, shrinkage(sigma, CUT**2)),
        "Eq. 2 as printed": filtered(V, np.maximum(sigma - CUT, 0)),
    }


def figure_1(seed, n_users, rows=10_000):
    """The cosines of the first n_users and of the next as many, who share the items and nothing else."""

    def blocks(first):
        for start in range(first, first + n_users, rows):
            yield simulate_users(start, min(rows, first + n_users - start), rng=seed)

    cluster = simulate_interactions(1, rng=seed).item_cluster
    halves = [gram(blocks(first)) for first in (0, n_users)]
    tops = [spectrum_from_gram(half, K) for half in halves]
    both = [models(half, top, n_users) for half, top in zip(halves, tops)]
    upper = np.triu_indices(len(cluster), 1)
    rows_of = []
    for name, cosine in both[0].items():
        apart = cosine[upper] - both[1][name][upper]
        row = {"seed": seed, "n_users": n_users, "model": name, "halves": np.sqrt(np.mean(apart**2))}
        rows_of.append(row | of_truth(cosine, cluster))
    return {
        "models": rows_of,
        "data": {"seed": seed, "n_users": n_users} | of_data(halves[0], tops[0], n_users, cluster),
    }


def figure_1_limit(seed):
    """The same for infinitely many users, by chapter 8's law of the draws; σ and penalties as for 20,000."""
    data = simulate_interactions(USERS_OF_LIMIT, rng=seed)
    k_u, limit, taken = np.diff(data.X.indptr), 0.0, 0.0
    for start in range(0, USERS_OF_LIMIT, 1_000):
        users = slice(start, start + 1_000)
        weights = data.user_preference[users][:, data.item_cluster] * data.item_popularity
        mu = taken_once(weights / weights.sum(axis=1, keepdims=True), k_u[users])
        limit, taken = limit + mu.T @ mu, taken + mu.sum(axis=0)
    np.fill_diagonal(limit, taken)
    limit *= CUT_AT / USERS_OF_LIMIT
    top = spectrum_from_gram(limit, K)
    start = {"seed": seed, "n_users": "limit"}
    cosines = models(limit, top, CUT_AT)
    rows_of = [
        start | {"model": name, "halves": 0.0} | of_truth(cosine, data.item_cluster)
        for name, cosine in cosines.items()
        if "as printed" not in name
    ]
    return {"models": rows_of, "data": start | of_data(limit, top, CUT_AT, data.item_cluster)}


def of_truth(cosine, cluster):
    found = yardsticks(cosine, cluster)
    return {"within": found.within, "between": found.between, "distance": found.distance, "auc": found.auc}


def of_data(added_up, top, n_users, cluster):
    """What chapter 8 says of the spectrum: σ in units of √n, the popularity in v_1, and which directions mix signs."""
    member = np.eye(cluster.max() + 1)[cluster]
    mixed = mixed_weights(top.V[:, :8], member)
    row = {"nonzeros": round(np.trace(added_up)), "popularity": np.corrcoef(top.V[:, 0], np.diag(added_up))[0, 1]}
    row |= {f"sigma_{i}": top.sigma[i - 1] / np.sqrt(n_users) for i in (1, 2, 3, 4, 5, 6, 7, 8, 13, 50)}
    row |= {"above_100": int(np.count_nonzero(top.sigma > CUT))}
    return row | {f"mixed_{i + 1}": mixed[i] for i in range(8)}


def unrelated(alpha, n_users, seed, drawn=5, rows=10_000):
    """What chapter 8 calls α/(α+1), estimated: the mean cosine of two clusters in the table of expectations.

    Users draw few items of many, so nobody's popular items saturate. Pairs of different items need no repair of the
    diagonal: over pairs in clusters c and e the mean count is E[z_c z_e] times what popularity says.
    """
    law = {"popularity_exponents": (0.25, 0.25), "preference_concentration": alpha}
    law |= {"min_activity": drawn, "max_activity": drawn}
    starts = range(0, n_users, rows)
    counts = gram(simulate_users(first, min(rows, n_users - first), rng=seed, **law) for first in starts)
    data = simulate_interactions(1, rng=seed, **law)
    member = np.eye(5)[data.item_cluster]
    q = data.item_popularity[:, None] * member
    pairs = member.T @ (counts - np.diag(np.diag(counts))) @ member
    expected = np.outer(q.sum(axis=0), q.sum(axis=0)) - np.diag((q**2).sum(axis=0))
    moments = pairs / expected
    length = np.sqrt(np.diag(moments))
    cosine = (moments / np.outer(length, length))[np.triu_indices(5, 1)].mean()
    return {"alpha": alpha, "n_users": n_users, "seed": seed, "cosine": cosine, "law": alpha / (alpha + 1)}


# --- what a step costs ---


def cost_of_simulation(n_users, n_items):
    seconds = best_of(3, simulate_users, 0, n_users, n_items)
    return {"n_users": n_users, "n_items": n_items, "seconds": seconds}


def cost_of_gram(n_users, n_items, rows=10_000):
    block = simulate_users(0, rows, n_items)
    copies = [block] * (n_users // rows)
    row = {"n_users": n_users, "n_items": n_items, "nonzeros": block.nnz * len(copies)}
    return row | {"seconds": best_of(3, gram, copies)}


def cost_of_pairs(n_items):
    """The top 50 eigenpairs of a p × p matrix."""
    counts = gram_of(simulate_users(0, max(n_items, 4_000), n_items, max_activity=n_items // 4))
    return {"n_items": n_items, "seconds": best_of(5 if n_items <= 2_000 else 2, spectrum_from_gram, counts, K)}


def cost_of_krylov(n_users, n_items, passes, rows=5_000):
    """Block Krylov over sparse blocks of users who take 100 items on average, so many passes and no fewer."""
    block, _ = draw_by_alias(AliasTables.simulated(n_items), rows, MANY, 0)
    blocks = [block] * (n_users // rows)
    row = {"n_users": n_users, "n_items": n_items, "nonzeros": sum(block.nnz for block in blocks)}
    runs = [timed(_passes, blocks, passes) for _ in range(2)]
    row |= {"directions": K + 20, "passes": runs[0][0]}
    return row | {"seconds": min(seconds for _, seconds in runs)}


def _passes(blocks, passes):
    """Run block Krylov whether or not it settles; return the passes that it took."""
    started = []

    def read():
        started.append(1)
        return iter(blocks)

    try:
        krylov_spectrum(read, K, passes=passes, tolerance=0.0)
    except NotSettled:
        pass
    return len(started) - 1  # the first look is at the number of columns


def cost_of_slider(n_items):
    """Another penalty for Equation 2 at rank 50, and all cosines between items."""
    top = spectrum_from_gram(gram_of(simulate_users(0, 2_000, n_items, max_activity=n_items // 4)), K)
    return {"n_items": n_items, "seconds": best_of(5, lambda: item_item_cosine(solve_factor_penalty(top, 1.0)))}


def cost_of_alias(n_users, n_items, repeats=3):
    """Draws by alias tables: seconds, and draws for each item that is kept."""
    tables = AliasTables.simulated(n_items)
    seconds = best_of(repeats, draw_by_alias, tables, n_users, MANY, 0)
    X, draws = draw_by_alias(tables, n_users, MANY, 0)
    return {"n_users": n_users, "n_items": n_items, "nonzeros": X.nnz, "draws": draws, "seconds": seconds}
