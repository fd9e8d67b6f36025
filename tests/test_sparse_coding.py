"""Sparse codes against scikit-learn's, and against what makes a minimum one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import Lasso

from sklearn_lsdn._baselines.located import combined
from sklearn_lsdn._baselines.sparse_coding import SparseCoder

SHAPES = [(1, 1), (3, 1), (40, 2), (5, 9), (32, 8), (100, 10), (300, 31)]


def make_atoms(n_atoms, n_dimensions, seed=0):
    """Atoms that resemble each other, as those of patches do."""
    rng = np.random.RandomState(seed)
    atoms = rng.normal(size=(n_atoms, n_dimensions))
    atoms += 2 * rng.normal(size=n_dimensions)
    return atoms / np.linalg.norm(atoms, axis=1, keepdims=True)


def make_vectors(n_dimensions, n=200, seed=1):
    return 3 * np.random.RandomState(seed).normal(size=(n, n_dimensions))


def encode(Z, atoms, alpha, **parameters):
    """Codes as a dense array."""
    indices, values = SparseCoder(atoms, alpha).encode(Z, **parameters)
    assert indices.shape == values.shape
    dense = np.zeros((len(Z), len(atoms)))
    np.add.at(dense, (np.arange(len(Z))[:, None], indices), values)
    assert_array_equal((dense != 0).sum(axis=1), (values != 0).sum(axis=1))
    return dense


def assert_minimal(codes, Z, atoms, alpha):
    """Each residual correlates by alpha with the code's atoms, and less with others."""
    correlations = (Z - codes @ atoms) @ atoms.T
    bound = 1e-8 * np.abs(Z @ atoms.T).max(axis=1, keepdims=True) + 1e-12
    assert (np.abs(correlations) <= alpha + bound).all()
    excess = np.where(codes != 0, correlations - alpha * np.sign(codes), 0.0)
    assert (np.abs(excess) <= bound).all()


@pytest.mark.parametrize(("n_atoms", "n_dimensions"), SHAPES)
@pytest.mark.parametrize("alpha", [0.001, 0.1, 1.0, 5.0])
def test_lasso_codes_are_minima(n_atoms, n_dimensions, alpha):
    atoms, Z = make_atoms(n_atoms, n_dimensions), make_vectors(n_dimensions)
    assert_minimal(encode(Z, atoms, alpha), Z, atoms, alpha)


@pytest.mark.parametrize("alpha", [0.1, 1.0])
def test_lasso_codes_are_those_of_scikit_learn(alpha):
    atoms, Z = make_atoms(60, 20), make_vectors(20, n=30)
    lasso = Lasso(alpha / 20, fit_intercept=False, tol=1e-10, max_iter=10**6)
    expected = lasso.fit(atoms.T, Z.T).coef_
    assert_allclose(encode(Z, atoms, alpha), expected, atol=1e-6)
    assert (expected != 0).sum() > 30


def test_strong_penalties_give_empty_codes():
    atoms, Z = make_atoms(50, 10), make_vectors(10)
    indices, values = SparseCoder(atoms, 100.0).encode(Z)
    assert not indices.any()
    assert not values.any()


def test_repeated_atoms_share_nothing():
    atoms, Z = make_atoms(20, 6), make_vectors(6)
    once, twice = (encode(Z, a, 0.1) for a in (atoms, np.tile(atoms, (2, 1))))
    assert_allclose(twice[:, :20] + twice[:, 20:], once, atol=1e-9)
    assert not (twice[:, :20] * twice[:, 20:]).any()


def test_signs_follow_the_vector():
    atoms, Z = make_atoms(50, 10), make_vectors(10)
    assert_array_equal(encode(-Z, atoms, 0.3), -encode(Z, atoms, 0.3))


@pytest.mark.parametrize("scale", [1e-100, 1e-6, 1e6, 1e100])
def test_units_do_not_matter(scale):
    atoms, Z = make_atoms(50, 10), make_vectors(10)
    codes = encode(Z, atoms, 0.3)
    assert_allclose(encode(Z * scale, atoms, 0.3 * scale), codes * scale, rtol=1e-6)


@given(
    data=st.data(),
    shape=st.tuples(st.integers(1, 40), st.integers(1, 6)),
    alpha=st.floats(0.01, 3.0),
)
def test_lasso_codes_of_anything_are_minima(data, shape, alpha):
    numbers = st.integers(-4, 4).map(float)  # which make ties and dependent atoms
    atoms = data.draw(arrays(np.float64, shape, elements=numbers))
    norm = np.linalg.norm(atoms, axis=1, keepdims=True)
    atoms = atoms / np.where(norm > 0, norm, 1.0)
    Z = data.draw(arrays(np.float64, (3, shape[1]), elements=numbers))
    assert_minimal(encode(Z, atoms, alpha), Z, atoms, alpha)


@pytest.mark.parametrize("n_threads", [1, 3])
def test_a_vector_has_the_same_bits_in_any_batch_and_thread(n_threads):
    atoms, Z = make_atoms(100, 10), make_vectors(10, n=1000)
    coder = SparseCoder(atoms, 0.3)
    indices, values = coder.encode(Z, n_threads=n_threads)
    for rows in (slice(0, 1), slice(300, 307), slice(999, 1000)):
        one_indices, one_values = coder.encode(Z[rows])
        assert_array_equal(indices[rows], one_indices)
        assert_array_equal(values[rows], one_values)


def test_nothing_gets_an_empty_code():
    assert not encode(np.zeros((2, 10)), make_atoms(50, 10), 0.3).any()


def test_an_empty_dictionary_gives_empty_codes():
    indices, values = SparseCoder(np.zeros((0, 4)), 0.1).encode(np.ones((3, 4)))
    assert indices.shape == values.shape == (3, 0)
    assert_array_equal(combined(indices, values, np.zeros((0, 2))), np.zeros((3, 2)))


def test_codes_combine_atoms():
    atoms, Z = make_atoms(50, 10), make_vectors(10)
    others = np.random.RandomState(2).normal(size=(50, 4))
    codes = encode(Z, atoms, 0.1)
    decoded = combined(*SparseCoder(atoms, 0.1).encode(Z), others)
    assert_allclose(decoded, codes @ others, atol=1e-12)
