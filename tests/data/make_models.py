"""Model files of this release, kept so that later releases are tested to read them.

    python tests/data/make_models.py

It writes models-VERSION.zip beside itself: tiny models, and what they predict. Run it
once for each release, and never change what it wrote before.
"""

import json
import tempfile
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np

SHAPE = (9, 10, 8)
AFFINE = np.diag([-2.0, 2.0, 2.0, 1.0])


def make_image(seed, contrast="T1w"):
    """Noise around a slope, from integers, and so the same everywhere."""
    noise = np.random.RandomState(seed).randint(100, size=SHAPE)
    data = (100 + noise + 8 * np.arange(SHAPE[0])[:, None, None]).astype(np.float32)
    return nib.Nifti1Image(data if contrast == "T1w" else 400 - data, AFFINE)


def synthesizers():
    from sklearn_lsdn import (
        CoupledSparseRegressor,
        LSDNRegressor,
        ModalityPropagationRegressor,
        ShrinkConnect,
        VDNRegressor,
        VolumeSynthesizer,
    )

    network = LSDNRegressor((6, 4), max_iter=4)
    shrunken = ShrinkConnect(network, keep=0.5, max_iter=1)
    parameters = dict(n_voxels=300, random_state=0)
    smallest = dict(patch_size=1, patch_scales=(1, 2))
    return {
        "network": VolumeSynthesizer(network, patch_scales=(1,), **parameters),
        "shrunken": VolumeSynthesizer(
            shrunken, normalization="nyul", **smallest, **parameters
        ),
        "ensemble": VolumeSynthesizer(
            VDNRegressor((4,), max_iter=1), n_estimators=2, **smallest, **parameters
        ),
        "sparse": VolumeSynthesizer(
            CoupledSparseRegressor(6), **smallest, **parameters
        ),
        "propagation": VolumeSynthesizer(
            ModalityPropagationRegressor(), **smallest, **parameters
        ),
    }


def main():
    from sklearn_lsdn import __version__, save_model

    images = [[make_image(seed, c) for seed in (0, 1)] for c in ("T1w", "T2w")]
    archive = Path(__file__).parent / f"models-{__version__}.zip"
    with (
        tempfile.TemporaryDirectory() as folder,
        zipfile.ZipFile(archive, "x", zipfile.ZIP_DEFLATED) as models,
    ):
        expected = {}
        for name, synthesizer in synthesizers().items():
            path = Path(folder) / f"{name}.skops"
            save_model(synthesizer.fit(*images), path)
            models.write(path, path.name)
            (image,) = synthesizer.predict([make_image(2)])
            expected[name] = image.get_fdata()[::4, ::3, ::3].ravel().tolist()
        models.writestr("expected.json", json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
