"""Predictions keep their bits: a change of them is a finding, to be explained.

`tests/data/predictions.json` holds what `python tests/test_same_bits.py` recorded, with
the processor and the versions of libraries on which bits depend. Where these are
others, a few values are compared within what rounding explains.
"""

import functools
import hashlib
import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from llvmlite import binding
from threadpoolctl import threadpool_info, threadpool_limits

from sklearn_lsdn import (
    CDNRegressor,
    CoupledSparseRegressor,
    EnsembleRegressor,
    LSDNRegressor,
    ModalityPropagationRegressor,
    ShrinkConnect,
    VDNRegressor,
    VolumeSynthesizer,
)
from sklearn_lsdn.datasets import make_brain_cohort
from sklearn_lsdn.volumes import ZScoreNormalizer

RECORDED = Path(__file__).parent / "data" / "predictions.json"
SHOWN = 8  # values that are kept beside a hash


def environment():
    """What bits depend on, besides this package."""
    libraries = ("numpy", "scipy", "scikit-learn", "numba", "llvmlite")
    blas = sorted(
        f"{pool['internal_api']} {pool['version']} {pool.get('architecture')}"
        for pool in threadpool_info()
        if pool["user_api"] == "blas"
    )
    return {
        "processor": binding.get_host_cpu_name(),
        "blas": sorted(set(blas)),
        **{name: version(name) for name in libraries},
    }


@functools.cache
def rows(n_outputs=1):
    rng = np.random.RandomState(0)
    X = rng.uniform(-1, 1, (1500, 9))
    y = np.column_stack([X[:, 0] * X[:, 6], X[:, 1] + X[:, 7] ** 2])
    return X, y[:, 0] if n_outputs == 1 else y


PLAIN = ZScoreNormalizer(trim=0)  # as it was when they were recorded


@functools.cache
def cohort():
    made = make_brain_cohort(3, voxel_size=8, random_state=0)
    return made.images["T1w"], made.images["T2w"]


def by_rows(estimator, n_outputs=1):
    X, y = rows(n_outputs)
    return estimator.fit(X[:1000], y[:1000]).predict(X[1000:])


def by_volumes(return_std=False, **parameters):
    t1w, t2w = cohort()
    fixed = {"n_voxels": 1500, "random_state": 0, "normalization": PLAIN}
    fixed |= {"smoothing": 1.2}  # the default of then
    synthesizer = VolumeSynthesizer(**fixed | {"places": "world"} | parameters)
    synthesizer.fit(t1w[:2], t2w[:2])
    if not return_std:
        return synthesizer.predict(t1w[2:])[0].get_fdata()
    images, std_images = synthesizer.predict(t1w[2:], return_std=True)
    return np.stack([images[0].get_fdata(), std_images[0].get_fdata()])


LAST = {"learning_rate_decay": 0.85, "average": 1}  # the last network, as it was then


def small(cls=LSDNRegressor, **parameters):
    return cls((30, 7), max_iter=4, random_state=0, **LAST | parameters)


def updated_partially():
    X, y = rows()
    network = small(solver="sgd", learning_rate_init=0.25, batch_size=10)
    for part in range(0, 900, 300):
        network.partial_fit(X[part : part + 300], y[part : part + 300])
    return network.predict(X[1000:].astype(np.float32))


def reshrunk():
    t1w, t2w = cohort()
    synthesizer = VolumeSynthesizer(
        small(),
        n_voxels=1500,
        normalization=PLAIN,
        places="world",
        smoothing=1.2,
        random_state=0,
    )
    synthesizer.fit(t1w[:2], t2w[:2])
    smaller = synthesizer.shrink(t1w[:2], t2w[:2], keep=0.5, random_state=0)
    return smaller.predict(t1w[2:])[0].get_fdata()


CASES = {
    "lsdn": lambda: by_rows(LSDNRegressor(**LAST, random_state=0)),
    "lsdn, early stopping": lambda: by_rows(
        small(early_stopping=True, alpha=1.0, batch_size=300, n_jobs=2, coordinates=2),
        n_outputs=2,
    ),
    "cdn": lambda: by_rows(CDNRegressor(**LAST, random_state=0)),
    "cdn, sgd": lambda: by_rows(
        small(CDNRegressor, solver="sgd", learning_rate_init=0.25, shuffle=False)
    ),
    "vdn": lambda: by_rows(VDNRegressor(**LAST, random_state=0)),
    "vdn, columns": lambda: by_rows(small(VDNRegressor, coordinates=[0, 3])),
    "lbfgs": lambda: by_rows(LSDNRegressor(solver="lbfgs", random_state=0)),
    "lbfgs, penalised": lambda: by_rows(
        small(solver="lbfgs", alpha=0.1, sigma=0.2), n_outputs=2
    ),
    "partial_fit": updated_partially,
    "ensemble": lambda: by_rows(
        EnsembleRegressor(LSDNRegressor(**LAST), random_state=0)
    ),
    "ensemble, cdn": lambda: by_rows(
        EnsembleRegressor(small(CDNRegressor), 2, n_jobs=2, random_state=1),
        n_outputs=2,
    ),
    "shrunken": lambda: by_rows(ShrinkConnect(LSDNRegressor(**LAST), random_state=0)),
    "shrunken, the paper's way": lambda: by_rows(
        ShrinkConnect(
            small(),
            keep=[10, 3],
            preserve="responses",
            distillation=0,
            selection="absolute",
            random_state=0,
        )
    ),
    "modality propagation": lambda: by_rows(ModalityPropagationRegressor()),
    "modality propagation, few": lambda: by_rows(
        ModalityPropagationRegressor(n_neighbors=3), n_outputs=2
    ),
    "coupled sparse": lambda: by_rows(CoupledSparseRegressor(random_state=0)),
    "coupled sparse, few": lambda: by_rows(
        CoupledSparseRegressor(n_components=20, random_state=1), n_outputs=2
    ),
    "volume": lambda: by_volumes(estimator=LSDNRegressor(**LAST)),
    "volume, target patches": lambda: by_volumes(
        estimator=small(),
        target_patch_size=3,
        patch_scales=(1,),
        smoothing=0,
        normalization="nyul",
        n_jobs=2,
    ),
    "volume, ensemble": lambda: by_volumes(
        True, estimator=small(), n_estimators=2, normalization="peak"
    ),
    "volume, shrunken afterwards": reshrunk,
    "volume, modality propagation": lambda: by_volumes(
        estimator=ModalityPropagationRegressor(),
        n_voxels=500,
        patch_scales=(1,),
        target_patch_size=3,
    ),
}


def recorded(case):
    """Of what a case predicts, on one thread of BLAS, on whose number bits depend."""
    with threadpool_limits(1):
        values = case()
    values = np.ascontiguousarray(values)
    flat = values[np.abs(values) > 0]
    return {
        "dtype": str(values.dtype),
        "shape": list(values.shape),
        "hash": hashlib.sha256(values.tobytes()).hexdigest(),
        "values": flat[:: max(1, len(flat) // SHOWN)].astype(float).tolist(),
    }


@pytest.mark.parametrize("name", CASES)
def test_predictions_keep_their_bits(name):
    kept = json.loads(RECORDED.read_text())
    before, now = kept["cases"][name], recorded(CASES[name])
    same = {key: before[key] for key in ("dtype", "shape")}
    assert {key: now[key] for key in same} == same
    if kept["environment"] == environment():
        assert now["hash"] == before["hash"], f"{name}: {now} instead of {before}"
    else:
        spread = np.std(before["values"])
        np.testing.assert_allclose(now["values"], before["values"], atol=spread / 20)


if __name__ == "__main__":
    cases = {name: recorded(case) for name, case in CASES.items()}
    content = {"environment": environment(), "cases": cases}
    RECORDED.write_text(json.dumps(content, indent=1) + "\n")
