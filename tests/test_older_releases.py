"""Model files of older releases: they are read, and predict what they did."""

import json
import sys
import zipfile

import numpy as np
import pytest
from conftest import REPOSITORY

from sklearn_lsdn import load_model, save_model
from sklearn_lsdn._persistence.model_files import describe_model

DATA = REPOSITORY / "tests" / "data"
MODELS = [
    (archive, name)
    for archive in sorted(DATA.glob("models-*.zip"))
    for name in sorted(zipfile.ZipFile(archive).namelist())
    if name.endswith(".skops")
]


@pytest.fixture
def make_models(monkeypatch):
    """The script that made the files."""
    monkeypatch.syspath_prepend(DATA)
    import make_models

    yield make_models
    del sys.modules["make_models"]


def test_there_are_files():
    assert len(MODELS) >= 5


@pytest.mark.filterwarnings("ignore:.*fills the border:UserWarning")  # of its scans
@pytest.mark.parametrize(
    ("archive", "name"), MODELS, ids=[f"{a.stem}-{n}" for a, n in MODELS]
)
def test_a_model_file_predicts_what_it_did(archive, name, make_models, tmp_path):
    with zipfile.ZipFile(archive) as models:
        path = models.extract(name, tmp_path)
        expected = json.loads(models.read("expected.json"))[name.removesuffix(".skops")]
    model = load_model(path)
    (image,) = model.predict([make_models.make_image(2)])
    found = image.get_fdata()[::4, ::3, ::3].ravel()
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    version = archive.stem.removeprefix("models-")
    assert f"sklearn_lsdn {version}" in describe_model(path)
    # and goes on in files of this release
    save_model(model, tmp_path / "again.skops")
    (again,) = load_model(tmp_path / "again.skops").predict([make_models.make_image(2)])
    assert (again.get_fdata() == image.get_fdata()).all()
