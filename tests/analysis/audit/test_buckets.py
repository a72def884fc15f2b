import numpy as np
import pytest

from analysis.audit.buckets import Buckets, bucket_table, influence_table
from analysis.ensemble import Ensemble
from analysis.influence import influence
from tests.helpers.synthetic import make_ensemble
from trainables.data.subsets import Subsets, draw_members

REPLICAS, N, M = 400, 20, 100


def ensemble(name: str, seed: int, lift: float = 0.0) -> Ensemble:
    """Test points j < 20 need training example j; ``lift`` is the chance to get them right without it."""
    rng = np.random.default_rng(seed)
    members = draw_members(Subsets(), list(range(REPLICAS)), N)
    chance = np.full((REPLICAS, M), 0.6)
    chance[:, :20] = np.where(members[:, :20], 1.0, lift)
    return make_ensemble({"optimizer": name}, REPLICAS, N, M, test_correct=rng.random((REPLICAS, M)) < chance)


@pytest.fixture(scope="module")
def ensembles() -> dict[str, Ensemble]:
    return {"sgd": ensemble("sgd", 0), "sam": ensemble("sam", 1, lift=0.5)}


def test_points_that_rest_on_one_example_are_in_the_first_bucket(ensembles: dict[str, Ensemble]) -> None:
    buckets = Buckets.of(ensembles["sgd"])
    assert buckets is not None
    for places in buckets.places:
        assert np.bincount(places).tolist() == [20] * 5
        assert (places[:20] == 0).mean() >= 0.9


def test_gains_are_paired_and_average_to_the_whole(ensembles: dict[str, Ensemble]) -> None:
    table = bucket_table(ensembles, "sgd")
    sam = table[table["recipe_id"] == "sam"].set_index("bucket")
    accuracy = {name: e.signal("test", "correct").mean() for name, e in ensembles.items()}
    assert sam["gain"].mean() == pytest.approx(accuracy["sam"] - accuracy["sgd"])
    assert sam["accuracy"].mean() == pytest.approx(accuracy["sam"])
    assert sam.loc[1, "gain_low"] > 0.15
    assert sam.loc[5, "gain_low"] < 0 < sam.loc[5, "gain_high"]
    assert (table.loc[table["recipe_id"] == "sgd", ["gain", "gain_low", "gain_high"]] == 0).all().all()
    assert (table["entropy_low"] <= table["entropy_high"]).all()


def test_chance_alone_makes_no_gain() -> None:
    """Buckets drawn and scored on the same replicas could show a gain by chance; crossed halves must not."""
    covered = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        both = {
            name: make_ensemble({"optimizer": name}, 16, N, M, test_correct=rng.random((16, M)) < 0.8)
            for name in ("sgd", "sam")
        }
        table = bucket_table(both, "sgd", resamples=200)
        sam = table[(table["recipe_id"] == "sam") & (table["bucket"] == 1)].iloc[0]
        covered += bool(sam["gain_low"] <= 0 <= sam["gain_high"])
    assert covered >= 17


def test_points_without_influence_come_last() -> None:
    correct = np.random.default_rng(0).random((REPLICAS, M)) < 0.5
    correct[:, :30] = True
    certain = make_ensemble({"optimizer": "sgd"}, REPLICAS, N, M, test_correct=correct)
    table = bucket_table({"sgd": certain}, "sgd")
    assert table["undefined"].tolist() == [0, 0, 0, 10, 20]
    assert np.isnan(table["entropy_low"].iloc[-1])


def test_one_draw_of_the_subsets_gives_no_buckets() -> None:
    pair = make_ensemble({"optimizer": "sgd"}, 2, N, M, test_correct=np.ones((2, M), bool))
    assert bucket_table({"sgd": pair}, "sgd").empty


def test_influence_table_names_the_helper(ensembles: dict[str, Ensemble]) -> None:
    table = influence_table(ensembles["sgd"], top=2)
    first = table[(table["test"] < 20) & (table["kind"] == "helper") & (table["rank"] == 1)]
    assert (first["train"] == first["test"]).all()
    assert (first["influence"] == 1).all()
    assert (table.loc[table["kind"] == "harmer", "influence"] < 0).all()


def test_noise_is_the_spread_when_membership_is_dealt_at_random() -> None:
    rng = np.random.default_rng(0)
    correct = rng.permutation(np.arange(20) < 14)[:, None]
    members = np.stack([rng.permutation(20) < 10 for _ in range(20_000)], axis=1)
    spread = influence(correct, members).std()
    table = influence_table(make_ensemble({"optimizer": "sgd"}, 20, 30, 1, test_correct=correct))
    assert table["noise"].iloc[0] == pytest.approx(spread, rel=0.02)
