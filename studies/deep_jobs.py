"""One training of the study of chapter 10, and all that is measured of it: what a worker process does."""

from functools import cache

import numpy as np

from cossim_helpers import (
    cosine_similarity,
    hold_out,
    item_similarities,
    ndcg_at_k,
    simulate_interactions,
    train_checkpoints,
    yardsticks,
)

N_TRAIN, N_VALIDATE, N_TEST, N_ITEMS = 20_000, 2_000, 5_000, 300
NUMBERS = ("auc", "within", "between", "precision", "popularity")  # of each similarity


@cache
def data(seed):
    """(training X, validation (seen, held), test (seen, held), clusters) of one data set."""
    drawn = simulate_interactions(N_TRAIN + N_VALIDATE + N_TEST, N_ITEMS, rng=seed)
    X, end = drawn.X.toarray(), N_TRAIN + N_VALIDATE
    validation, test = hold_out(X[N_TRAIN:end], rng=[seed, 1]), hold_out(X[end:], rng=[seed, 2])
    return X[:N_TRAIN], validation, test, drawn.item_cluster


def checkpoints(X, recipe, epochs, seed):
    """The model after each of these numbers of epochs, in their order. One training: the learning rate is constant."""
    kept = train_checkpoints(X, recipe, epochs, rng=seed)
    return [kept[number] for number in epochs]


def validate(recipe, data_seed, seed, epochs):
    """NDCG@10 on the validation users after each number of epochs."""
    X, (seen, held), *_ = data(data_seed)
    return [ndcg_at_k(model.scores(seen), seen, held) for model in checkpoints(X, recipe, epochs, seed)]


def measure(recipe, data_seed, seed, epochs):
    """After each number of epochs: NDCG@10 on the test users; five numbers and neighbor lists of each similarity."""
    X, _, (seen, held), item_cluster = data(data_seed)
    results = []
    for model in checkpoints(X, recipe, epochs, seed):
        result = {"ndcg": ndcg_at_k(model.scores(seen), seen, held)}
        for name, similarity in item_similarities(model, X).items():
            result[name] = numbers(similarity, item_cluster, X.sum(axis=0))
            result["neighbors, " + name] = nearest(similarity).tolist()
        results.append(result)
    return results


def measure_representatives(recipe, data_seed, seed, epochs):
    """After each number of epochs: NDCG@10 on the test users, and five numbers of each representative's cosines."""
    X, _, (seen, held), item_cluster = data(data_seed)
    return [
        {
            "ndcg": ndcg_at_k(model.scores(seen), seen, held),
            **{
                name: numbers(cosine_similarity(B), item_cluster, X.sum(axis=0))
                for name, B in representatives(model, X).items()
            },
        }
        for model in checkpoints(X, recipe, epochs, seed)
    ]


def parameters(recipe, data_seed, seed, epochs):
    """The parameters after each number of epochs, as rows by name: a vector is one row."""
    return [
        {name: np.atleast_2d(value).tolist() for name, value in model.parameters.items()}
        for model in checkpoints(data(data_seed)[0], recipe, epochs, seed)
    ]


def numbers(similarity, item_cluster, popularity):
    """Those of NUMBERS."""
    found = yardsticks(similarity, item_cluster, popularity)
    return [getattr(found, name) for name in NUMBERS]


def representatives(model, X):
    """Item vectors that give the same predictions, chosen by rules instead of by training: arrays (p, k) by name.

        as trained     B
        common scale   B S, S = dMat(sd(u_1), …, sd(u_k)): each coordinate of the users has standard deviation 1
        canonical      the same after centering, if something slides: after a layer normalization with gain g the rows
                       lose their part along S g⁻¹, in which they slide freely; for a softmax loss then the
                       mean over the items
        correlation    B Σ^{1/2}, Σ the covariance of the users: its cosines are those of the centered columns of
                       scores (for a softmax loss with the items' mean taken off), the same for every linear layer

    What is taken off goes into an output bias o.
    """
    B, U = model.item_vectors, model.user_vectors(X)
    softmax = model.recipe.model in ("softmax", "two-tower")
    spread = U.std(axis=0)
    scaled = B * spread
    canonical = scaled
    if model.recipe.normalization == "layer":
        slide = spread / model.parameters["user_gain"]
        canonical = canonical - np.outer(canonical @ slide, slide) / (slide @ slide)
    if softmax:
        canonical = canonical - canonical.mean(axis=0)
    variances, axes = np.linalg.eigh(np.cov(U.T))
    white = (B - softmax * B.mean(axis=0)) @ axes * np.sqrt(np.maximum(variances, 0))
    return {"as trained": B, "common scale": scaled, "canonical": canonical, "correlation": white}


def nearest(similarity, k=10):
    """The k nearest items of each item, shape (p, k); a tie goes to the lower number."""
    distance = -similarity
    np.fill_diagonal(distance, np.inf)
    return np.argsort(distance, axis=1, kind="stable")[:, :k]
