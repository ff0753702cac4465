"""What tests run on: small data and parameters, drawn from a generator that the test passes."""

import numpy as np


def small_interactions(rng, n, p=6, share=0.5):
    """0/1, no empty row or column, two equal rows."""
    X = (rng.random((n, p)) < share).astype(float)
    X[range(n), rng.integers(p, size=n)] = 1.0
    X[1] = X[0]
    X[2] = X.sum(axis=0) == 0
    X[2, 0] = 1.0
    return X


def random_parameters(rng, model, normalization, p=6, k=3, width=4):
    shapes = {"W": (p, k), "B": (p, k), "b": (k,)}
    if model == "linear":
        del shapes["b"]
    if model == "two-tower":
        shapes = {
            "W": (p, width),
            "b": (width,),
            "W2": (width, k),
            "E": (p, k),
            "V1": (k, width),
            "c": (width,),
            "V2": (width, k),
        }
    if normalization == "layer":
        towers = ("user", "item") if model == "two-tower" else ("user",)
        shapes |= {f"{tower}_{what}": (k,) for tower in towers for what in ("gain", "shift")}
    if normalization == "unit":
        shapes |= {"log_scale": ()}
    return {name: np.array(rng.standard_normal(shape)) for name, shape in shapes.items()}
