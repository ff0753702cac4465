"""Which D do mini-batches pick? Writes studies/results/minibatch.csv, which chapter 09 reads.

    python studies/minibatch.py [--seeds N] [--output FILE]

Each seed draws a data set, four starts, and for each start its own batches. Each recipe trains Equation 1 from all of
them. A row says how far the item–item cosines are from three others: those of the noise-balanced gauge, those of
Equation 5, and those of the run from the small start (root mean square over all pairs of different items).
Deterministic: the same seeds give the same table, but for the last digits. About half an hour on one core, 1 GB.
"""

import argparse
import csv
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cossim_helpers import (
    Factors,
    cosine_similarity,
    item_item_cosine,
    product_penalty_objective,
    simulate_interactions,
    solve_product_penalty,
    spectrum,
)

RESULTS = Path(__file__).parent / "results" / "minibatch.csv"
N_USERS, N_ITEMS, K, LAM = 2_000, 60, 4, 1.0  # the setting of chapter 09
STARTS = ("small", "items heavy", "users heavy", "wide")
CHECKPOINTS = 8  # rows per run, at equal distances
COLUMNS = ["recipe", "seed", "start", "steps", "excess", "to noise gauge", "to Eq. 5", "to small start"]


@dataclass(frozen=True)
class Recipe:
    """How to train: an optimizer of optax by its name, its step, the batch, and how the batches are drawn."""

    optimizer: str
    rate: float
    steps: int
    batch: int | None = 50  # None: all users
    epochs: bool = False  # True: each user once an epoch, in random order; False: each batch drawn anew
    momentum: float = 0.0
    decay: float = 0.0  # AdamW's weight_decay


RECIPES = {
    "SGD, step 0.02": Recipe("sgd", 0.02, 80_000),
    "SGD, step 0.02, epochs": Recipe("sgd", 0.02, 80_000, epochs=True),
    "SGD, step 0.01": Recipe("sgd", 0.01, 80_000),
    "SGD, step 0.02, batch 200": Recipe("sgd", 0.02, 80_000, batch=200),
    "full batch": Recipe("sgd", 0.02, 40_000, batch=None),
    "momentum 0.9, step 0.002": Recipe("sgd", 0.002, 80_000, momentum=0.9),
    "Adam, step 0.001": Recipe("adamw", 0.001, 160_000),
    "AdamW, step 0.001, decay 0.01": Recipe("adamw", 0.001, 160_000, decay=0.01),
}


@dataclass(frozen=True)
class Problem:
    """Data, four starts, and the two solutions that the runs are compared with."""

    users: np.ndarray  # (n, p), 0/1
    starts: np.ndarray  # (4, 2, p, k)
    five: Factors  # Equation 5
    balanced: Factors  # the minimizer at which the gradient noise is in balance


def problem(seed, n_users=N_USERS, n_items=N_ITEMS, k=K) -> Problem:
    users = simulate_interactions(n_users, n_items, n_clusters=4, rng=seed).X.toarray()
    five = solve_product_penalty(spectrum(users / np.sqrt(n_users)), LAM, k)
    rng = np.random.default_rng(seed)
    small = 0.01 * rng.standard_normal((2, n_items, k))
    heavy = 2 * np.linalg.qr(rng.standard_normal((n_items, k)))[0]
    wide = 0.3 * rng.standard_normal((2, n_items, k))
    starts = np.stack([small, np.stack([small[0], heavy]), np.stack([heavy, small[1]]), wide])
    return Problem(users, starts, five, noise_balanced(users, five))


def noise_balanced(users, five: Factors) -> Factors:
    """The minimizer (A G, B G^{-T}) of Equation 1 with E[∂_Aᵀ∂_A] = E[∂_Bᵀ∂_B] over single users."""
    scores = users @ five.A
    residual = users - scores @ five.B.T
    # gradients of user u at (A, B): 2 (λ A BᵀB − x (Bᵀr)ᵀ) and 2 (λ B AᵀA − r (Aᵀx)ᵀ)
    P = _noise(users, residual @ five.B, LAM * five.A @ (five.B.T @ five.B))
    Q = _noise(residual, scores, LAM * five.B @ (five.A.T @ five.A))
    half = _power(Q, 0.5)
    gram = _power(Q, -0.5) @ _power(half @ P @ half, 0.5) @ _power(Q, -0.5)  # Γ = GGᵀ, Γ Q Γ = P
    G = np.linalg.cholesky(gram)
    return Factors(five.A @ G, five.B @ np.linalg.inv(G).T)


def _noise(left, right, constant):
    """Σ_u g_uᵀ g_u / n for g_u = 2 (constant − left_u right_uᵀ), without any p × p array a user."""
    square = (right * np.sum(left**2, axis=1, keepdims=True)).T @ right / len(left)
    mixed = constant.T @ (left.T @ right) / len(left)
    return 4 * (square - mixed - mixed.T + constant.T @ constant)


def _power(M, exponent):
    values, vectors = np.linalg.eigh(M)
    return (vectors * values**exponent) @ vectors.T


def batches(recipe: Recipe, n_users: int, runs: int, steps: int, rng) -> np.ndarray:
    """Numbers of users, (steps, runs, batch): each run has batches of its own."""
    if recipe.batch is None:
        return np.zeros((steps, runs, 0), dtype=np.int32)
    if not recipe.epochs:
        return rng.integers(n_users, size=(steps, runs, recipe.batch), dtype=np.int32)
    per_epoch = n_users // recipe.batch
    orders = np.tile(np.arange(n_users, dtype=np.int32), (runs, -(-steps // per_epoch), 1))
    orders = rng.permuted(orders, axis=2)[:, :, : per_epoch * recipe.batch]
    return orders.reshape(runs, -1, recipe.batch)[:, :steps].swapaxes(0, 1)


def train(users, starts, recipe: Recipe, rng, checkpoints=CHECKPOINTS) -> Iterator[tuple[int, np.ndarray]]:
    """(steps so far, pairs of shape (runs, 2, p, k)), a number of times at equal distances."""
    import jax  # seconds, which reading the table does not need
    import jax.numpy as jnp
    import optax

    optimizer = (
        optax.adamw(recipe.rate, weight_decay=recipe.decay)
        if recipe.optimizer == "adamw"
        else optax.sgd(recipe.rate, momentum=recipe.momentum or None)
    )
    data, gram = jnp.asarray(users), jnp.asarray(users.T @ users / len(users))

    def gradients(pairs, chosen):
        A, B = pairs[:, 0], pairs[:, 1]
        if chosen.shape[-1]:
            x = data[chosen]  # (runs, batch, p)
            scores = x @ A
            residual = x - scores @ B.swapaxes(1, 2)
            fit_A = x.swapaxes(1, 2) @ (residual @ B) / x.shape[1]
            fit_B = residual.swapaxes(1, 2) @ scores / x.shape[1]
        else:
            SA, SB = gram @ A, gram @ B
            fit_A = SB - SA @ (B.swapaxes(1, 2) @ B)
            fit_B = SA - B @ (A.swapaxes(1, 2) @ SA)
        decay_A = LAM * A @ (B.swapaxes(1, 2) @ B)
        decay_B = LAM * B @ (A.swapaxes(1, 2) @ A)
        return 2 * jnp.stack([decay_A - fit_A, decay_B - fit_B], axis=1)

    def step(carry, chosen):
        pairs, state = carry
        updates, state = optimizer.update(gradients(pairs, chosen), state, pairs)
        return (optax.apply_updates(pairs, updates), state), None

    with jax.enable_x64(True):
        pairs = jnp.asarray(starts)
        carry = pairs, optimizer.init(pairs)
        advance = jax.jit(lambda carry, chosen: jax.lax.scan(step, carry, chosen)[0])
        for checkpoint in range(1, checkpoints + 1):
            todo = recipe.steps // checkpoints
            for chunk in (10_000,) * (todo // 10_000) + ((todo % 10_000,) if todo % 10_000 else ()):
                carry = advance(carry, batches(recipe, len(users), len(starts), chunk, rng))
            yield checkpoint * todo, np.asarray(carry[0])


def rms(first, second) -> float:
    """Root mean square difference of two cosine matrices, over pairs of different items."""
    pairs = np.triu_indices(len(first), 1)
    return float(np.sqrt(np.mean((first[pairs] - second[pairs]) ** 2)))


def measure(name, seed, recipe: Recipe | None = None) -> Iterator[list]:
    """The rows of one recipe and one seed, in the order of COLUMNS."""
    setting = problem(seed)
    X = setting.users / np.sqrt(len(setting.users))
    smallest = product_penalty_objective(X, setting.five, LAM)
    five, balanced = item_item_cosine(setting.five), item_item_cosine(setting.balanced)
    rng = np.random.default_rng([seed, 1])
    for steps, pairs in train(setting.users, setting.starts, recipe or RECIPES[name], rng):
        cosines = [cosine_similarity(B) for _, B in pairs]
        for start, (A, B), cosine in zip(STARTS, pairs, cosines):
            excess = product_penalty_objective(X, Factors(A, B), LAM) / smallest - 1
            yield [name, seed, start, steps, excess, rms(cosine, balanced), rms(cosine, five), rms(cosine, cosines[0])]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    jobs = [(name, seed) for name in RECIPES for seed in range(options.seeds)]
    rows, began = [], time.perf_counter()
    for done, job in enumerate(jobs, 1):
        rows += measure(*job)
        bar = "#" * round(30 * done / len(jobs))
        print(f"[{bar:30}] {done} of {len(jobs)} trainings, {time.perf_counter() - began:.0f} s", flush=True)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    with options.output.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([*row[:4], *(f"{value:.4f}" for value in row[4:])] for row in rows)


if __name__ == "__main__":
    main()
