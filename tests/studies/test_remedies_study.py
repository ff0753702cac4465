"""The study of chapter 7: its table is complete, can be computed anew, and says on new data what the chapter says."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.metrics import roc_auc_score

from cossim_helpers import cosine_similarity, precision_at_k, simulate_interactions
from studies import remedies as study

BOTH = "standardized, whitened, k = C"
INVARIANT = ["columns of X A B^T", "whitened, k = 50", "whitened, k = C", "half whitened, spectral"]
INVARIANT += ["centered, whitened, k = 50", "centered, whitened, k = C"]


def stored():
    with study.RESULTS.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    table = {(row["reading"], int(row["data set"]), row["remedy"], row["model"]): row for row in rows}
    assert len(table) == len(rows)  # no row twice
    return {key: np.array([float(row[name]) for name in study.NUMBERS]) for key, row in table.items()}


TABLE = stored()


def column(name, reading, remedy, model="Eq. 2"):
    return np.array([TABLE[reading, seed, remedy, model][study.NUMBERS.index(name)] for seed in study.DATA_SETS])


# --- complete ---


@pytest.mark.claim("remedies-measured")
def test_every_reading_data_set_remedy_and_model_is_there():
    remedies = list(dict.fromkeys(remedy for _, _, remedy, _ in TABLE))
    expected = {
        (reading, seed, remedy, model)
        for reading in study.READINGS
        for seed in study.DATA_SETS
        for remedy in remedies
        if study.in_the_table(reading, seed, remedy)
        for model in (["s cos"] if remedy.startswith("trained") else study.models_of(reading))
    }
    assert set(TABLE) == expected
    assert len(study.READINGS) == 20
    assert len(remedies) == 25, "rows of the stored table: make it anew by studies/remedies.py"


@pytest.mark.claim("remedies-measured")
def test_what_is_invariant_is_equal_in_all_scalings():
    for remedy in INVARIANT:
        for seed in study.DATA_SETS:
            rows = [TABLE[study.OURS, seed, remedy, model] for model in study.SCALINGS]
            np.testing.assert_allclose(rows, [rows[0]] * 3, atol=2e-4)


# --- computed anew ---


@pytest.mark.claim("remedies-measured")
@pytest.mark.parametrize(
    ("reading", "seed", "names"),
    [
        (study.OURS, 3, {"none", "columns of X A B^T", BOTH, "shifted PMI, 3/4"}),
        ("taste: Dirichlet 10", 8, {"none", "whitened, k = C", BOTH, "shifted PMI, 3/4"}),
        ("20 clusters, taken for 5", 3, {"centered, whitened, k = C", "rows / k_u^1/2, standardized"}),
    ],
)
def test_a_slice_of_the_table_computed_anew(reading, seed, names):
    rows = study.measure(seed, reading, names.__contains__)
    assert {row[2] for row in rows} == names
    assert len(rows) == len(names) * len(study.models_of(reading))
    for row in rows:
        np.testing.assert_allclose(row[4:], TABLE[row[:4]], atol=2e-4, err_msg=str(row[:4]))


@pytest.mark.claim("remedies-measured")
@pytest.mark.parametrize(("reading", "seed", "k"), [("popularity: drawn", 5, 5), ("5 clusters, taken for 20", 9, 20)])
def test_standardized_and_whitened_without_the_study(reading, seed, k):
    """From the correlation matrix and its eigenvectors; the pairs by scikit-learn."""
    data = simulate_interactions(**study.READINGS[reading], rng=seed)
    V = np.linalg.eigh(np.corrcoef(data.X.toarray().T))[1][:, -k:]
    cosine, p = cosine_similarity(V), len(V)
    i, j = np.triu_indices(p, 1)
    same, values = (data.item_cluster[i] == data.item_cluster[j]).astype(float), cosine[i, j]
    auc, within, between, distance, precision, _ = TABLE[reading, seed, BOTH, "Eq. 2"]
    assert auc == pytest.approx(roc_auc_score(same, values), abs=2e-4)
    assert within == pytest.approx(values[same == 1].mean(), abs=2e-4)
    assert between == pytest.approx(values[same == 0].mean(), abs=2e-4)
    assert distance == pytest.approx(np.sqrt(np.mean((values - same) ** 2)), abs=2e-4)
    assert precision == pytest.approx(precision_at_k(cosine, data.item_cluster, 10), abs=2e-4)


@pytest.mark.claim("remedies-measured")
@pytest.mark.parametrize("reading", [study.OURS, "taste: uniform"])
def test_a_trained_row_of_the_table_computed_anew(reading):
    (row,) = study.measure(2, reading, set(study.TRAINED_ELSEWHERE).__contains__)
    np.testing.assert_allclose(row[4:9], TABLE[row[:4]][:5], atol=0.03)


# --- the remedies of the study ---


def small():
    return simulate_interactions(600, 60, 3, min_activity=2, rng=0)


def test_remedies_are_told_a_number_of_clusters():
    data = small()
    standard = np.corrcoef(data.X.toarray().T)
    for told in (2, 3, 6):
        found = {remedy: C for remedy, model, C in study.all_cosines(data, told, {BOTH}.__contains__, ["Eq. 2"])}
        V = np.linalg.eigh(standard)[1][:, -told:]
        np.testing.assert_allclose(found[BOTH], cosine_similarity(V), atol=1e-7)


def test_centered_whitening_by_the_covariance():
    data = small()
    ((_, _, found),) = study.all_cosines(data, 4, {"centered, whitened, k = C"}.__contains__, ["Eq. 2"])
    B = np.linalg.eigh((data.X.T @ data.X).toarray())[1][:, -4:]  # the factors' columns, up to their lengths
    value, vectors = np.linalg.eigh(np.cov(B.T))
    white = (B - B.mean(axis=0)) @ vectors @ np.diag(value**-0.5)
    np.testing.assert_allclose(found, cosine_similarity(white), atol=1e-7)


def test_the_cut_follows_what_remedies_are_told():
    data = small()
    top = study.spectrum_from_gram(study.item_gram(data.X), 50)
    kept = [np.count_nonzero(np.linalg.norm(study.fits(top, told)["Eq. 2"].B, axis=0)) for told in (2, 3, 6)]
    assert kept == [3, 4, 7]  # the directions above σ_{C+2}


def test_the_table_is_written_reading_by_reading(tmp_path):
    numbers = (0.12345, 1, 0, 0.5, 0.25, -0.99999)
    rows = [("20 clusters", 1, "none", "Eq. 2", *numbers), (study.OURS, 2, "none", "Eq. 2", *numbers)]
    study.write(rows, tmp_path / "new" / "table.csv")
    header, first, second = (tmp_path / "new" / "table.csv").read_text(encoding="utf-8").splitlines()
    assert header == "reading,data set,remedy,model,auc,within,between,distance,precision,popularity"
    assert first == "our reading,2,none,Eq. 2,0.1235,1.0000,0.0000,0.5000,0.2500,-1.0000"
    assert second.startswith("20 clusters,1,")


def test_the_rows_of_one_remedy_are_shown_and_nothing_is_written(monkeypatch, capsys):
    row = (study.OURS, 1, "none", "Eq. 2", 0.123, 1, 0, 0.5, 0.25, -1)
    monkeypatch.setattr(study, "measure", lambda seed, wanted: [row] if wanted("none") else [])
    study.print_rows("none")
    shown = "Eq. 2 auc 0.12 within 1.00 between 0.00 distance 0.50 precision 0.25 popularity -1.00"
    assert capsys.readouterr().out.split() == shown.split()
    with pytest.raises(SystemExit, match="no remedy of this study is called 'more'"):
        study.print_rows("more")


def test_mistaken_readings_differ_from_the_others_in_what_is_told_alone():
    for mistaken, told in study.MISTAKEN.items():
        (same,) = [name for name, law in study.READINGS.items() if law == study.READINGS[mistaken] and name != mistaken]
        assert told != study.READINGS[same].get("n_clusters", 5)


def test_items_that_nobody_took_along_with_another_one_are_left_out():
    data = small()
    X = data.X.toarray()
    X[:, 7] = 0.0  # nobody
    X[0], X[:, 9] = 0.0, 0.0
    X[0, 9] = 1.0  # one user, who took nothing else
    changed = study.comparable(replace(data, X=sp.csr_array(X)))
    kept = np.delete(np.arange(60), [7, 9])
    np.testing.assert_array_equal(changed.X.toarray(), X[1:][:, kept])
    np.testing.assert_array_equal(changed.item_cluster, data.item_cluster[kept])
    np.testing.assert_array_equal(changed.item_popularity, data.item_popularity[kept])
    np.testing.assert_array_equal(changed.user_preference, data.user_preference[1:])
    assert study.comparable(data) is data


# --- what the chapter concludes, in the table and on data sets that it does not hold ---


@pytest.mark.claim("remedies-measured")
def test_conclusions_on_each_of_the_ten_data_sets():
    def ours(name, remedy, model="Eq. 2"):
        return column(name, study.OURS, remedy, model)

    assert (ours("between", "columns of X A B^T") > 0.5).all()
    assert (ours("between", "rows / k_u") > ours("between", "none")).all()
    plain, at_rank_c = (ours("auc", f"whitened, k = {k}", "Eq. 1, B = V") for k in ("50", "C"))
    assert (plain < at_rank_c).all()
    assert ((ours("distance", "whitened, k = C") < 0.1) == [1, 0, 0, 0, 1, 0, 1, 1, 0, 0]).all()


@pytest.mark.claim("remedies-measured")
@pytest.mark.parametrize("reading", [study.OURS, "taste: Dirichlet 10", "activity: Pareto", "20 clusters"])
def test_standardizing_and_whitening_is_nearer_the_truth_than_either_step_on_new_data(reading):
    names = {"none", "whitened, k = 50", "standardized", BOTH}
    found = {
        row[2:4]: row[4 + study.NUMBERS.index("distance")] for row in study.measure(101, reading, names.__contains__)
    }
    assert found[BOTH, "Eq. 2"] < min(value for (remedy, _), value in found.items() if remedy != BOTH) - 0.01


@pytest.mark.claim("remedies-measured")
def test_how_often_a_remedy_is_near_the_nearest():
    place = study.NUMBERS.index("distance")
    distance = {key: row[place] for key, row in TABLE.items() if not key[2].startswith("trained")}
    near = {}  # (remedy, right C?) → how many
    for reading in study.READINGS:
        for seed in study.DATA_SETS:
            here = {key[2:]: value for key, value in distance.items() if key[:2] == (reading, seed)}
            nearest = min(here[remedy, model] for remedy, model in here if model in study.MODELS_ELSEWHERE)
            for remedy in (BOTH, "shifted PMI, 3/4", "none"):
                key = (remedy, reading not in study.MISTAKEN)
                near[key] = near.get(key, 0) + (here[remedy, "Eq. 2"] - nearest < 0.05)
    assert near == {
        (BOTH, True): 171,
        ("shifted PMI, 3/4", True): 62,
        ("none", True): 0,
        (BOTH, False): 0,
        ("shifted PMI, 3/4", False): 10,
        ("none", False): 0,
    }
