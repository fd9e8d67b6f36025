"""Simultaneous OMP: against its definition, scikit-learn, and all that must hold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import orthogonal_mp

from sklearn_lsdn import simultaneous_omp

SELECTIONS = ["absolute", "squared", "residual"]


def matrix(p, n, seed=0, rank=None):
    """Rows of various norms, on any scale but 1."""
    rng = np.random.RandomState(seed)
    H = rng.normal(size=(p, n))
    if rank is not None:
        H = rng.normal(size=(p, rank)) @ rng.normal(size=(rank, n))
    return H * rng.uniform(0.3, 30, (p, 1))


def unexplained(T, rows):
    """What is left of ``T`` when ``rows`` have explained what they can."""
    if len(rows) == 0:
        return T
    basis, values, _ = np.linalg.svd(rows.T, full_matrices=False)
    basis = basis[:, values > 1e-12 * values.max(initial=0)]
    return T - T @ basis @ basis.T


def naive_scores(T, H, chosen, selection):
    """By the definition of each rule, from the residuals; zero for spanned rows."""
    R = unexplained(T, H[chosen])
    scores = np.zeros(len(H))
    for j in np.flatnonzero(independent(H, chosen)):
        correlations = R @ H[j] / np.linalg.norm(H[j])
        if selection == "absolute":
            scores[j] = abs(correlations).sum()
        elif selection == "squared":
            scores[j] = (correlations**2).sum()
        else:
            after = unexplained(T, H[[*chosen, j]])
            scores[j] = (R**2).sum() - (after**2).sum()
    return scores


def independent(H, chosen, tol=1e-8):
    left = unexplained(H, H[chosen])
    return (left**2).sum(axis=1) > tol * (H**2).sum(axis=1)


def naive_pursuit(T, H, n_nonzero, selection):
    chosen, residuals = [], [np.linalg.norm(T)]
    for _ in range(n_nonzero):
        if not independent(H, chosen).any():
            break
        chosen.append(int(np.argmax(naive_scores(T, H, chosen, selection))))
        residuals.append(np.linalg.norm(unexplained(T, H[chosen])))
    return chosen, residuals


def assert_pursuit(H, n_nonzero, selection, targets=None, tol=1e-6):
    """All that must hold of a pursuit, whatever it does about ties."""
    T = H if targets is None else targets
    indices, A, residuals = simultaneous_omp(
        H, n_nonzero, targets=targets, selection=selection, return_residuals=True
    )
    scale = np.linalg.norm(T)
    chosen = indices.tolist()
    assert len(set(chosen)) == len(chosen) <= n_nonzero
    assert A.shape == (len(T), len(chosen))
    assert residuals.shape == (len(chosen) + 1,)
    assert (np.diff(residuals) <= 0).all()
    assert_allclose(residuals[-1], np.linalg.norm(T - A @ H[indices]), atol=tol * scale)
    for k in range(len(chosen) + 1):
        left = np.linalg.norm(unexplained(T, H[chosen[:k]]))
        assert_allclose(residuals[k], left, rtol=tol, atol=tol * scale)
        if k == len(chosen):
            break
        assert independent(H, chosen[:k], 1e-12)[chosen[k]]
        scores = naive_scores(T, H, chosen[:k], selection)
        assert scores[chosen[k]] >= (1 - tol) * scores.max() - tol**2 * scale**2
    if len(chosen) < n_nonzero:
        assert not independent(H, chosen).any()
    if targets is None:
        assert_allclose(A[indices], np.eye(len(chosen)), rtol=0, atol=tol)
    return indices, A, residuals


@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize(("p", "n"), [(12, 40), (20, 20), (15, 8), (1, 5)])
def test_pursuit_equals_one_that_keeps_residuals(p, n, selection):
    H = matrix(p, n, seed=p)
    all_but_ties = p if p <= n else n - 1  # any n-th row would explain all the rest
    for n_nonzero in {1, all_but_ties // 2 or 1, all_but_ties}:
        indices, A, residuals = simultaneous_omp(
            H, n_nonzero, selection=selection, return_residuals=True
        )
        chosen, expected = naive_pursuit(H, H, n_nonzero, selection)
        atol = 1e-7 * np.linalg.norm(H)
        assert indices.tolist() == chosen
        assert_allclose(residuals, expected, rtol=1e-7, atol=atol)
        expected = np.linalg.lstsq(H[chosen].T, H.T)[0].T
        assert_allclose(A, expected, rtol=1e-6, atol=1e-7)


def test_the_rules_differ():
    H = matrix(30, 12, seed=4)
    first, second, third = (
        simultaneous_omp(H, 6, selection=selection)[0].tolist()
        for selection in SELECTIONS
    )
    assert first != second
    assert second != third
    assert first != third


@pytest.mark.parametrize("selection", ["absolute", "squared"])
@pytest.mark.parametrize("seed", range(5))
def test_one_target_equals_scikit_learn(selection, seed):
    rng = np.random.RandomState(seed)
    H = rng.normal(size=(30, 60))
    H /= np.linalg.norm(H, axis=1, keepdims=True)
    target = rng.normal(size=60)
    expected = orthogonal_mp(H.T, target, n_nonzero_coefs=8)
    indices, A = simultaneous_omp(H, 8, targets=target[None], selection=selection)
    assert set(indices) == set(np.flatnonzero(expected))
    assert_allclose(A[0], expected[indices], rtol=1e-9)


@pytest.mark.parametrize("selection", SELECTIONS)
def test_norms_of_rows_do_not_sway_the_choice_for_targets(selection):
    rng = np.random.RandomState(0)
    H, targets = rng.normal(size=(30, 60)), rng.normal(size=(4, 60))
    scale = 10.0 ** rng.uniform(-3, 3, 30)
    indices, A = simultaneous_omp(H, 8, targets=targets, selection=selection)
    scaled, B = simultaneous_omp(
        H * scale[:, None], 8, targets=targets, selection=selection
    )
    assert_array_equal(scaled, indices)
    assert_allclose(B * scale[indices], A, rtol=1e-9)


@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize(("p", "n"), [(15, 8), (6, 1), (1, 1)])
def test_more_rows_than_samples(p, n, selection):
    H = matrix(p, n)
    indices, A, _ = assert_pursuit(H, p, selection)
    assert len(indices) == n
    assert_allclose(A @ H[indices], H, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("selection", SELECTIONS)
def test_several_targets(selection):
    H, targets = matrix(12, 40), matrix(3, 40, seed=1)
    assert_pursuit(H, 5, selection, targets)
    indices, _ = simultaneous_omp(H, 5, targets=targets, selection=selection)
    assert indices.tolist() == naive_pursuit(targets, H, 5, selection)[0]


@pytest.mark.parametrize("selection", SELECTIONS)
def test_rows_as_targets_are_the_default(selection):
    H = matrix(10, 25)
    indices, A = simultaneous_omp(H, 4, selection=selection)
    same, B = simultaneous_omp(H, 4, targets=H, selection=selection)
    assert_array_equal(same, indices)
    assert_allclose(B, A, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("selection", SELECTIONS)
def test_gram_and_responses_agree(selection):
    H = matrix(25, 200, seed=3)
    from_responses = simultaneous_omp(H, 9, selection=selection, return_residuals=True)
    from_gram = simultaneous_omp(
        gram=H @ H.T, n_nonzero=9, selection=selection, return_residuals=True
    )
    for a, b in zip(from_gram, from_responses, strict=True):
        assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_gram_is_left_as_it_is():
    gram = matrix(6, 9) @ matrix(6, 9).T
    before = gram.copy()
    simultaneous_omp(gram=gram, n_nonzero=4)
    assert_array_equal(gram, before)


@pytest.mark.parametrize("selection", SELECTIONS)
def test_as_many_rows_as_the_rank_reproduce_all(selection):
    H = matrix(20, 50, rank=7)
    indices, A, residuals = assert_pursuit(H, 20, selection)
    assert len(indices) == 7
    assert_allclose(A @ H[indices], H, rtol=0, atol=1e-9 * abs(H).max())
    assert residuals[-1] <= 1e-6 * residuals[0]
    assert residuals[-2] > 1e-3 * residuals[0]


def test_equal_and_silent_rows_are_never_chosen_twice_or_at_all():
    H = np.repeat(matrix(5, 30), 3, axis=0)
    H[4] *= -2
    H[12:] = 0
    indices, A = simultaneous_omp(H, 15)
    assert sorted(indices // 3) == [0, 1, 2, 3]
    assert_allclose(A @ H[indices], H, rtol=0, atol=1e-9 * abs(H).max())
    assert not A[12:].any()


def test_rows_that_are_all_silent():
    indices, A, residuals = simultaneous_omp(np.zeros((3, 4)), 2, return_residuals=True)
    assert (len(indices), A.shape, residuals.tolist()) == (0, (3, 0), [0.0])


def test_a_quarter_by_default():
    assert len(simultaneous_omp(matrix(20, 50))[0]) == 5
    assert len(simultaneous_omp(matrix(3, 50))[0]) == 1


def rows(elements):
    shapes = st.tuples(st.integers(1, 6), st.integers(1, 7))
    return shapes.flatmap(lambda shape: arrays(float, shape, elements=elements))


@given(
    H=rows(st.integers(-3, 3)),
    selection=st.sampled_from(SELECTIONS),
    n_nonzero=st.integers(1, 6),
)
def test_pursuit_of_small_integers(H, selection, n_nonzero):
    # Ties, equal rows, rows of zeros and low ranks turn up by themselves.
    n_nonzero = min(n_nonzero, len(H))
    indices, A, _ = assert_pursuit(H, n_nonzero, selection)
    if n_nonzero == len(H):
        assert len(indices) == np.linalg.matrix_rank(H)
        assert_allclose(A @ H[indices], H, rtol=0, atol=1e-7)


@given(
    H=rows(st.floats(-1, 1, width=16)),
    selection=st.sampled_from(SELECTIONS),
    n_nonzero=st.integers(1, 6),
)
def test_pursuit_of_any_numbers(H, selection, n_nonzero):
    assert_pursuit(H, min(n_nonzero, len(H)), selection, tol=1e-4)


@given(
    H=rows(st.integers(-3, 3)),
    seed=st.integers(0, 99),
    n_targets=st.integers(1, 4),
    selection=st.sampled_from(SELECTIONS),
)
def test_pursuit_of_targets(H, seed, n_targets, selection):
    targets = np.random.RandomState(seed).randint(-3, 4, (n_targets, H.shape[1]))
    assert_pursuit(H, len(H), selection, targets.astype(float))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(), "either responses or gram"),
        (dict(responses=np.eye(3), gram=np.eye(3)), "either responses or gram"),
        (dict(gram=np.ones((3, 2))), "gram must be square"),
        (dict(gram=np.eye(3), targets=np.eye(3)), "targets go with responses"),
        (dict(responses=np.eye(3), targets=np.eye(4)), "4 samples and responses 3"),
        (dict(responses=np.eye(3), targets=np.ones(3)), "2D"),
        (dict(responses=np.ones(3)), "2D"),
        (dict(responses=np.eye(3), n_nonzero=0), "within 1 and 3, got 0"),
        (dict(responses=np.eye(3), n_nonzero=-1), "within 1 and 3, got -1"),
        (dict(gram=np.eye(3), n_nonzero=4), "within 1 and 3, got 4"),
        (dict(responses=np.eye(3), selection="best"), "selection must be one of"),
        (dict(responses=[[1.0, np.nan]]), "responses contains NaN"),
        (dict(responses=[[1.0, np.inf]]), "responses contains infinity"),
        (dict(gram=[[np.nan]]), "gram contains NaN"),
        (dict(responses=[[1.0]], targets=[[np.nan]]), "targets contains NaN"),
    ],
)
def test_pursuit_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        simultaneous_omp(**arguments)


@pytest.mark.parametrize("n_nonzero", [1.5, "2"])
def test_number_of_rows_is_whole(n_nonzero):
    with pytest.raises((TypeError, ValueError)):
        simultaneous_omp(np.eye(3), n_nonzero)
