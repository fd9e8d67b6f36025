"""`lsdn selftest`: whether an installation computes what it should, in seconds.

Everything is made here, so that it needs neither data nor extras. What a processor or a
library may round in its own way is compared within a tolerance; of the kernels alone,
which call no library, the bits are known.
"""

import functools
import hashlib
import importlib.metadata
import os
import platform
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy.ndimage import gaussian_filter

from .._network import reference
from .._network.architecture import Architecture
from .._network.inference import predict_rows
from .._network.kernels.compilation import processor_name
from .._network.optimizers import Trainer
from .._network.training import Settings
from .._persistence.model_files import load_model, save_model
from .._regressors.networks import LSDNRegressor
from .._utils.optional import require
from .._version import __version__
from ..metrics import snr_score
from ..volumes import VolumeSynthesizer

_LIBRARIES = ("numpy", "scipy", "scikit-learn", "numba", "nibabel", "joblib")
_KNOWN_HASH = "7dc5e7e5761023c5"  # of the outputs of `_network`, on processors with FMA
_KNOWN_SNR = 26.8  # of the head held back, in dB
_TOLERANCE = (
    1e-5  # of outputs between 0 and 1, and of gradients relative to the largest
)


class Failed(Exception):  # noqa: N818, it is of a check
    """A check found what must not be."""


class NotChecked(Exception):  # noqa: N818
    """A check needs an extra that is missing."""


def self_test() -> tuple[str, bool]:
    """Check an installation.

    Returns
    -------
    table : str
        Versions, and a line for each check.
    passed : bool
        Whether none failed. What could not be checked, since an extra is missing, does
        not count.
    """
    lines, passed, start = [*_environment(), ""], True, time.perf_counter()
    for name, check in _CHECKS.items():
        try:
            verdict, found = "passed", check()
        except NotChecked as error:
            verdict, found = "not checked", str(error)
        except Exception as error:
            reason = "" if isinstance(error, Failed) else f"{type(error).__name__}: "
            verdict, found, passed = "FAILED", f"{reason}{error}", False
        lines.append(f"{name:<42}{verdict}: {found}")
    end = "passed" if passed else "FAILED"
    lines.append(f"\nself-test {end} ({time.perf_counter() - start:.0f} s)")
    return "\n".join(lines), passed


def _environment():
    """What results may depend on, besides this package."""
    python = f"Python {platform.python_version()}, {platform.platform()}"
    versions = (f"{name} {importlib.metadata.version(name)}" for name in _LIBRARIES)
    processor = f"{processor_name()}, {os.cpu_count()} processors"
    return [f"sklearn_lsdn {__version__}", python, processor, ", ".join(versions)]


def _outputs_agree():
    """Outputs of the kernels, against the reference in float64."""
    return _within(_TOLERANCE, abs(_predicted() - _expected()).max())


def _gradients_agree():
    """A step of gradient descent on all samples moves by the gradient."""
    architecture, theta, samples = _network()
    rate = 1024.0  # so that the step outweighs where it began
    n = len(samples[0])
    settings = Settings("sgd", alpha=0.0, batch_size=n, learning_rate=rate)
    moved = theta.copy()
    Trainer(architecture, moved, samples, settings, np.random.RandomState(0)).epoch()
    exact = [np.asarray(each, dtype=np.float64) for each in (theta, *samples)]
    _, gradient = reference.loss_and_gradient(architecture, *exact)
    found = (exact[0] - moved) / rate
    return _within(_TOLERANCE, abs(found - gradient).max() / abs(gradient).max())


def _outputs_have_known_bits():
    """Outputs are those of other machines, to the bit if the processor has FMA."""
    found = _hash(_predicted())
    if found == _KNOWN_HASH:
        return f"hash {found}, as recorded"
    away = _within(_TOLERANCE, abs(_predicted() - _expected()).max())
    return (
        f"hash {found} where processors with FMA have {_KNOWN_HASH}; {away}, so that "
        "it is rounding"
    )


def _threads_agree():
    """The same bits on one thread and on two, in training and in prediction."""
    first, second = (_hash(_on_threads(n_threads)) for n_threads in (1, 2))
    if first != second:
        raise Failed(f"on 1 thread {first}, on 2 threads {second}")
    return "same bits on 1 and 2 threads"


def _heads_are_learned():
    """A fit on three made heads is worth what it should be on a fourth."""
    head, _, truth = _head(3)
    inside = head != 0
    found = snr_score(truth[inside], _synthesis()[inside])
    if abs(found - _KNOWN_SNR) > 0.5:
        raise Failed(f"{found:.2f} dB on a head held back, where {_KNOWN_SNR} is known")
    return f"{found:.2f} dB on a head held back ({_KNOWN_SNR} is known)"


def _images_keep_their_grid():
    """A synthesis that is written and read back lies where its source lies."""
    head, affine, _ = _head(3)
    with tempfile.TemporaryDirectory() as folder:
        source, path = Path(folder) / "source.nii.gz", Path(folder) / "synthesis.nii.gz"
        nib.save(nib.Nifti1Image(head, affine), source)
        nib.save(_fitted().predict([source])[0], path)
        image = nib.load(path)
        if image.shape != head.shape or not np.allclose(image.affine, affine):
            raise Failed("it lies elsewhere than its source")
        if not np.array_equal(image.get_fdata(dtype=np.float32), _synthesis()):
            raise Failed("a file has other voxels than the image in memory")
    return "written, read back, on the grid of the source"


def _models_are_kept():
    """A model file predicts what the model did that was saved."""
    try:
        require("skops.io")
    except ImportError as error:
        raise NotChecked(str(error)) from error
    head, affine, _ = _head(3)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.skops"
        save_model(_fitted(), path)
        (image,) = load_model(path).predict([nib.Nifti1Image(head, affine)])
    if not np.array_equal(image.get_fdata(dtype=np.float32), _synthesis()):
        raise Failed("a model that was saved and loaded predicts something else")
    return "saved, loaded, same bits"


_CHECKS = {
    "kernels: outputs by the reference": _outputs_agree,
    "kernels: gradients by the reference": _gradients_agree,
    "kernels: outputs with a known hash": _outputs_have_known_bits,
    "kernels: threads": _threads_agree,
    "images: a fit of known worth": _heads_are_learned,
    "images: files": _images_keep_their_grid,
    "model files": _models_are_kept,
}


def _within(bound, difference):
    if not difference <= bound:  # NaN neither
        raise Failed(f"largest difference {difference:.1e}, above {bound:.0e}")
    return f"largest difference {difference:.1e}"


def _hash(array):
    little = np.ascontiguousarray(array, dtype="<f4")
    return hashlib.sha256(little.tobytes()).hexdigest()[:16]


def _network():
    """A network, parameters and samples, the same wherever floats are those of IEEE."""
    rng = np.random.RandomState(0)
    architecture = Architecture((27, 200, 20, 2), 3, 0.5)
    theta = architecture.initial_parameters(rng.uniform(-1, 1, (200, 3)), rng)
    S, X = rng.uniform(-2, 2, (1000, 27)), rng.uniform(-1, 1, (1000, 3))
    T, weight = rng.uniform(0.1, 0.9, (1000, 2)), rng.uniform(0.5, 2.0, 1000)
    samples = tuple(each.astype(np.float32) for each in (S, X, T, weight))
    return architecture, theta.astype(np.float32), samples


def _predicted():
    architecture, theta, (S, X, *_) = _network()
    return predict_rows(architecture, theta, S, X)


def _expected():
    architecture, theta, (S, X, *_) = _network()
    exact = (each.astype(np.float64) for each in (theta, S, X))
    return reference.forward(architecture, *exact)


def _on_threads(n_threads):
    """Parameters after an epoch, and outputs, of enough samples for two threads."""
    architecture, theta, samples = _network()
    settings = Settings("adam", 0.0, 512, 0.005, n_threads=n_threads)
    rng = np.random.RandomState(0)
    Trainer(architecture, theta, samples, settings, rng).epoch()
    S, X = (np.tile(each, (40, 1)) for each in samples[:2])
    outputs = predict_rows(architecture, theta, S, X, n_threads)
    return np.concatenate([theta, outputs.ravel()])


def _head(seed):
    """T1w of a made head, its affine, and its T2w, which follows from it and the place.

    Voxels are of 2 mm, and 0 outside the brain.
    """
    shape = (30, 34, 28)
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    rng = np.random.RandomState(seed)
    texture = gaussian_filter(rng.uniform(-1, 1, shape), 1.4)
    texture = np.clip(1.2 * texture / texture.std(), -2, 2)
    t1w = 110 + 20 * texture + 9 * axes[1] + rng.uniform(-1.5, 1.5, shape)
    t2w = 280 - 1.5 * t1w + 20 * axes[1] * texture + rng.uniform(-2, 2, shape)
    inside = sum((axis / (0.83 + 0.01 * (seed % 4))) ** 2 for axis in axes) < 1
    affine = nib.affines.from_matvec(2.0 * np.eye(3), [-29, -33, -27])
    t1w, t2w = (np.where(inside, each, 0).astype(np.float32) for each in (t1w, t2w))
    return t1w, affine, t2w


@functools.cache
def _fitted():
    """Trained on three made heads."""
    heads = [_head(seed) for seed in range(3)]
    sources = [nib.Nifti1Image(t1w, affine) for t1w, affine, _ in heads]
    targets = [nib.Nifti1Image(t2w, affine) for _, affine, t2w in heads]
    synthesizer = VolumeSynthesizer(
        LSDNRegressor((30, 8), max_iter=15),
        n_voxels=5000,
        random_state=0,
    )
    return synthesizer.fit(sources, targets)


@functools.cache
def _synthesis():
    """Of a fourth head, an array."""
    head, affine, _ = _head(3)
    (image,) = _fitted().predict([nib.Nifti1Image(head, affine)])
    return image.get_fdata(dtype=np.float32)
