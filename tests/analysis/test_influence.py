import tracemalloc

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.influence import influence, influence_chunks, influence_entropy, influence_summary
from analysis.memorization import memorization


def masked_averages(correct: np.ndarray, members: np.ndarray) -> np.ndarray:
    """The formula as published: an average over the IN replicas minus one over the OUT replicas."""
    inside, outside = members.astype(float), 1.0 - members
    with np.errstate(invalid="ignore"):
        return correct.T @ (inside / inside.sum(0)) - correct.T @ (outside / outside.sum(0))


def ensemble(replicas: int = 20, m: int = 30, n: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.random((replicas, m)) < rng.random(m), rng.random((replicas, n)) < 0.6


def test_equals_the_masked_averages() -> None:
    correct, members = ensemble()
    members[:, 3], members[:, 7] = True, False
    scores = influence(correct, members)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, masked_averages(correct, members), atol=1e-6)
    assert np.isnan(scores[:, [3, 7]]).all()
    assert np.isfinite(np.delete(scores, [3, 7], axis=1)).all()


def test_complements_give_the_bits_of_each_by_itself() -> None:
    """Neighbours that are complements share a product; in another order they do not."""
    correct, members = ensemble()
    members[1::2] = ~members[::2]
    found = influence(correct, members)
    np.testing.assert_allclose(found, masked_averages(correct, members), atol=1e-6)
    shuffled = np.random.default_rng(1).permutation(20)
    np.testing.assert_array_equal(found, influence(correct[shuffled], members[shuffled]))


def test_of_a_training_example_on_itself_is_memorization() -> None:
    correct, members = ensemble(m=40, n=40)
    np.testing.assert_allclose(
        np.diag(influence(correct, members)), memorization(correct, members), atol=1e-6
    )


@settings(deadline=None)
@given(max_bytes=st.integers(0, 200_000))
def test_blocks_change_no_bit(max_bytes: int) -> None:
    correct, members = ensemble()
    whole = influence(correct, members)
    np.testing.assert_array_equal(influence(correct, members, max_bytes=max_bytes), whole)
    streamed = np.concatenate([b.copy() for _, b in influence_chunks(correct, members, max_bytes=max_bytes)])
    np.testing.assert_array_equal(streamed, whole)


@pytest.mark.parametrize("max_bytes", [40_000, 2 << 30])
def test_torch_gives_the_same_bits(max_bytes: int) -> None:
    correct, members = ensemble()
    found = influence(correct, members, max_bytes=max_bytes, device="cpu")
    np.testing.assert_array_equal(found, influence(correct, members))


@pytest.mark.parametrize("max_bytes", [16 << 20, 40 << 20])
def test_streaming_stays_within_its_memory(max_bytes: int) -> None:
    correct, members = ensemble(replicas=64, m=1500, n=8000)  # 46 MiB of influence
    tracemalloc.start()
    summary = influence_summary(correct, members, top=3, above=0.9, max_bytes=max_bytes)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(summary.entropy) == 1500
    assert peak < max_bytes


def test_what_torch_holds_is_within_the_memory_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """tracemalloc does not see torch: its float masks and the product that it hands over, beside our own."""
    correct, members = ensemble(replicas=64, m=1500, n=8000)
    held = []

    def product(left: np.ndarray, mask: np.ndarray, out: np.ndarray, _: str) -> None:
        assert out.base is not None
        out[...] = 0
        held.append(left.nbytes + 4 * mask.size + 4 * out.size + out.base.nbytes)

    monkeypatch.setattr("analysis.influence._product", product)
    for _ in influence_chunks(correct, members, max_bytes=16 << 20, device="cpu"):
        pass
    assert 8 << 20 < max(held) < 16 << 20


def test_entropy_is_that_of_the_normalised_sizes() -> None:
    correct, members = ensemble()
    scores = influence(correct, members)
    expected = scipy.stats.entropy(np.abs(scores.astype(float)), axis=1)
    np.testing.assert_allclose(influence_entropy(scores), expected, rtol=1e-6)


def test_entropy_of_one_of_all_and_of_none() -> None:
    scores = [[0, 0, 1, np.nan], [0.5, -0.5, 0.5, np.nan], [0, 0, 0, np.nan]]
    np.testing.assert_allclose(influence_entropy(scores), [0, np.log(3), np.nan], atol=1e-12)


def test_summary_keeps_the_extremes_of_the_full_matrix() -> None:
    correct, members = ensemble(m=20, n=100)
    members[:, 5] = True
    scores = np.nan_to_num(influence(correct, members))
    summary = influence_summary(correct, members, top=4, above=0.6, max_bytes=10_000)
    np.testing.assert_allclose(summary.entropy, influence_entropy(scores))
    for j in range(20):
        of_j = summary.test == j
        for sign in (1, -1):
            ranked = np.argsort(-sign * scores[j], kind="stable")[:4]
            ranked = ranked[sign * scores[j, ranked] > 0]
            kept = of_j & (sign * summary.rank > 0)
            assert summary.train[kept].tolist() == ranked.tolist()
            assert summary.rank[kept].tolist() == [sign * (1 + k) for k in range(len(ranked))]
        above = set(np.flatnonzero(np.abs(scores[j]) > 0.6))
        assert above <= set(summary.train[of_j])
        assert set(summary.train[of_j & (summary.rank == 0)]) <= above
    np.testing.assert_array_equal(summary.influence, scores[summary.test, summary.train])


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match="expected correct_test"):
        influence(np.ones((3, 2)), np.ones((4, 2)))
