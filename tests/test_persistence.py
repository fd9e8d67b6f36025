"""Model files: the way there and back, and what is refused."""

import functools
import importlib
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import skops.io
from joblib import Memory
from scipy.ndimage import gaussian_filter
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from small_volumes import framed

from sklearn_lsdn import (
    CDNRegressor,
    LSDNRegressor,
    ShrinkConnect,
    VDNRegressor,
    VolumeSynthesizer,
    load_model,
    save_model,
)
from sklearn_lsdn._persistence.model_files import PROTOCOL
from sklearn_lsdn.volumes import PercentileNormalizer, ZScoreNormalizer

NETWORKS = [LSDNRegressor, CDNRegressor, VDNRegressor]
SHAPE = (9, 10, 8)
# The MNI152 brain fills about what noise is put into.
AFFINE = nib.affines.from_matvec(np.diag([18.0, 18.0, 18.0]), [-72, -106, -53])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.skops"


def _data():
    X = np.random.RandomState(0).uniform(-1, 1, (300, 6))
    return X, np.column_stack([X[:, 0] * X[:, 5], X[:, 1] ** 2])


def _network(cls=LSDNRegressor, **parameters):
    return cls((8, 4), max_iter=3, **(dict(random_state=0) | parameters))


def _plain(model):
    """Parameters as text, but for objects without a value to compare."""
    parameters = model.get_params()
    return {k: str(v) for k, v in parameters.items() if k != "random_state"}


def _there_and_back(model, path):
    save_model(model, path)
    loaded = load_model(path)
    assert type(loaded) is type(model)
    return loaded


# There and back


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        dict(coordinates=[0, 4]),
        dict(coordinates=0),
        dict(solver="sgd", learning_rate_init=0.25),
        dict(solver="lbfgs"),
        dict(early_stopping=True),
        dict(random_state=np.random.RandomState(3)),
        dict(hidden_layer_sizes=np.array([8, 4]), sigma=np.float64(0.7)),
    ],
    ids=lambda parameters: "-".join(parameters),
)
def test_networks_predict_the_same_bits(network, parameters, path):
    X, y = _data()
    model = _network(network).set_params(**parameters).fit(X, y)
    loaded = _there_and_back(model, path)
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    np.testing.assert_array_equal(
        loaded.predict(X.astype("f4")), model.predict(X.astype("f4"))
    )
    assert _plain(loaded) == _plain(model)
    np.testing.assert_array_equal(loaded.latent_coordinates_, model.latent_coordinates_)
    assert loaded.loss_curve_ == model.loss_curve_


@pytest.mark.parametrize("network", NETWORKS)
def test_a_loaded_network_trains_on_as_the_saved_one_would(network, path):
    X, y = _data()
    model = _network(network).partial_fit(X, y).partial_fit(X, y)
    loaded = _there_and_back(model, path)
    model.partial_fit(X, y)
    loaded.partial_fit(X, y)
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))


def test_column_names_come_back(path):
    X, y = _data()
    X = pd.DataFrame(X, columns=list("abcxyz"))
    model = _network(coordinates=["x", "y", "z"]).fit(X, y)
    loaded = _there_and_back(model, path)
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    with pytest.raises(ValueError, match="feature names"):
        loaded.predict(X[list("xyzabc")])


def test_a_pipeline_comes_back(path):
    X, y = _data()
    model = make_pipeline(StandardScaler(), _network()).fit(X, y)
    loaded = _there_and_back(model, path)
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))


def _subject(seed, n_images):
    rng = np.random.RandomState(seed)
    scans = gaussian_filter(rng.normal(size=(n_images, *SHAPE)), (0, 1, 1, 1))
    scans = (100 + 100 * scans).astype(np.float32)
    scans *= framed(np.ones(np.subtract(SHAPE, 2), dtype=np.float32))
    return [nib.Nifti1Image(scan, AFFINE) for scan in scans]


@pytest.fixture(scope="module")
def subjects():
    return [_subject(seed, 4) for seed in range(2)]


def _assert_same_synthesis(model, path, sources, targets):
    loaded = _there_and_back(model, path)
    for arguments in ({}, {"scale_to": targets}):
        for ours, theirs in zip(
            loaded.predict(sources, **arguments),
            model.predict(sources, **arguments),
            strict=True,
        ):
            pairs = zip(np.atleast_1d(ours), np.atleast_1d(theirs), strict=True)
            for one, other in pairs:
                np.testing.assert_array_equal(one.dataobj, other.dataobj)
                np.testing.assert_array_equal(one.affine, other.affine)
    assert loaded.score(sources, targets) == model.score(sources, targets)


@pytest.mark.parametrize(
    "estimator",
    [
        *(_network(cls) for cls in NETWORKS),
        LinearRegression(),
        HistGradientBoostingRegressor(max_iter=5, min_samples_leaf=5),
        make_pipeline(StandardScaler(), _network()),
        None,
    ],
    ids=str,
)
def test_synthesizers_predict_the_same_bits(subjects, estimator, path):
    sources, targets = [s[0] for s in subjects], [s[2] for s in subjects]
    s = VolumeSynthesizer(estimator, n_voxels=100, random_state=0)
    _assert_same_synthesis(s.fit(sources, targets), path, sources, targets)


@pytest.mark.parametrize(
    "parameters",
    [
        dict(normalization="percentile"),
        dict(normalization=PercentileNormalizer(5, 95)),
        dict(places=None, patch_size=1),
        dict(mask_img="mni152"),
        dict(memory="cache", n_jobs=2),
        dict(random_state=np.random.RandomState(0)),
    ],
    ids=lambda parameters: "-".join(parameters),
)
def test_parameters_of_synthesizers_come_back(
    subjects, parameters, path, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    sources, targets = [s[:2] for s in subjects], [s[2:] for s in subjects]
    if "mask_img" in parameters:
        sources, targets = [s[0] for s in subjects], [s[2] for s in subjects]
    s = VolumeSynthesizer(_network(), n_voxels=100, random_state=0)
    s.set_params(**parameters).fit(sources, targets)
    _assert_same_synthesis(s, path, sources, targets)


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_a_mask_is_kept_in_the_file(subjects, kind, path, tmp_path):
    mask = np.zeros(SHAPE, np.uint8)
    mask[2:6, 3:8, 1:7] = 1
    file = tmp_path / "mask.nii.gz"
    nib.save(nib.Nifti1Image(mask, AFFINE), file)
    sources, targets = [s[0] for s in subjects], [s[2] for s in subjects]
    s = VolumeSynthesizer(_network(), mask_img=kind(file), n_voxels=100, random_state=0)
    save_model(s.fit(sources, targets), path)
    expected = s.predict(sources)
    assert s.mask_img == kind(file)  # saving changes no parameter
    file.unlink()
    loaded = load_model(path)
    assert loaded.mask_img == str(file)
    for ours, theirs in zip(loaded.predict(sources), expected, strict=True):
        np.testing.assert_array_equal(ours.dataobj, theirs.dataobj)


# What cannot be saved


@pytest.fixture(scope="module")
def model():
    return _network().fit(*_data())


def test_what_is_not_fitted_is_not_saved(path):
    for estimator in (_network(), VolumeSynthesizer()):
        with pytest.raises(NotFittedError):
            save_model(estimator, path)
    assert not path.exists()


class Foreign(RegressorMixin, BaseEstimator):
    """A regressor that is nobody's."""

    def fit(self, X, y):
        self.mean_ = float(np.mean(y))
        return self

    def predict(self, X):
        return np.full(len(X), self.mean_)


@pytest.mark.parametrize("which", ["mask_img", "estimator", "Pipeline"])
def test_what_a_file_cannot_hold_is_named(subjects, which, path):
    parameters, named = {
        "mask_img": (
            dict(mask_img=nib.Nifti1Image(framed(np.ones((7, 8, 6))), AFFINE)),
            "Nifti1Image",
        ),
        "estimator": (dict(estimator=Foreign()), "Foreign"),
        "Pipeline": (dict(estimator=make_pipeline(Foreign())), "Foreign"),
    }[which]
    sources, targets = [s[0] for s in subjects], [s[2] for s in subjects]
    s = VolumeSynthesizer(LinearRegression(), n_voxels=50)
    s.set_params(**parameters).fit(sources, targets)
    with pytest.raises(TypeError, match=rf"VolumeSynthesizer holds .*{named}"):
        save_model(s, path)
    assert not path.exists()


def test_a_cache_is_not_kept(subjects, path, tmp_path):
    sources, targets = [s[0] for s in subjects], [s[2] for s in subjects]
    memory = Memory(tmp_path / "cache", verbose=0)
    s = VolumeSynthesizer(_network(), n_estimators=2, n_voxels=50, memory=memory)
    save_model(s.fit(sources, targets), path)
    loaded = load_model(path)
    assert loaded.memory is loaded.estimator_.memory is None
    assert s.memory is memory
    assert s.estimator_.memory.location == memory.location


@pytest.mark.parametrize("trusted", [True, None, 5, [3]])
def test_what_trusted_cannot_be(path, trusted):
    with pytest.raises(TypeError, match="trusted must list classes or their names"):
        load_model(path, trusted=trusted)


# Classes of one's own


class Halved(ZScoreNormalizer):
    """Half of a standard deviation becomes 1."""

    def _location_and_scale(self, values):
        location, scale = super()._location_and_scale(values)
        return location, scale / 2


class Own(LSDNRegressor):
    """A network with another default."""


@pytest.mark.parametrize("named", [False, True])
def test_classes_of_ones_own_are_kept_when_trusted(subjects, named, path):
    sources, targets = [s[0] for s in subjects], [s[2] for s in subjects]
    s = VolumeSynthesizer(Foreign(), normalization=Halved(), n_voxels=50)
    trusted = [Halved, Foreign]
    if named:
        trusted = [f"{each.__module__}.{each.__name__}" for each in trusted]
    s.fit(sources, targets)
    with pytest.raises(TypeError, match=r"Foreign, .*Halved.*give trusted=\["):
        save_model(s, path)
    save_model(s, path, trusted=trusted)
    with pytest.raises(
        ValueError, match=r"refused.*Halved.*load_model\(path, trusted="
    ):
        load_model(path)
    loaded = load_model(path, trusted=trusted)
    for ours, theirs in zip(loaded.predict(sources), s.predict(sources), strict=True):
        np.testing.assert_array_equal(ours.dataobj, theirs.dataobj)


def test_what_inherits_from_ours_is_checked_as_ours(path):
    model = Own((8, 4), max_iter=1, random_state=0).fit(*_data())
    save_model(model, path, trusted=Own)
    assert type(load_model(path, trusted=Own)) is Own
    model.network_ = replace(model.network_, sigma=0.0)
    save_model(model, path, trusted=Own, overwrite=True)
    with pytest.raises(ValueError, match="damaged: sigma is 0"):
        load_model(path, trusted=Own)


# What files leave out


@pytest.mark.parametrize("frozen", [False, True])
def test_a_shrunken_network_takes_less_room_than_the_full_one(frozen, path):
    X, y = _data()
    network = LSDNRegressor((100, 40), max_iter=1, random_state=0).fit(X, y)
    save_model(network, path)
    full = path.stat().st_size
    given = dict(estimator=FrozenEstimator(network)) if frozen else dict(prefit=True)
    model = ShrinkConnect(network, keep=0.9, max_iter=1).set_params(**given).fit(X, y)
    save_model(model, path, overwrite=True)
    assert path.stat().st_size < full
    loaded = load_model(path)
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    assert loaded.full_hidden_layer_sizes_ == (100, 40)
    assert loaded.fit(X, y).coefficients_[0].shape == (100, 90)
    assert len(model.coefficients_) == 2  # saving changes nothing
    assert model.get_params(deep=False) | given == model.get_params(deep=False)


# Names that stay


def _names(path):
    with zipfile.ZipFile(path) as archive:
        schema = json.loads(archive.read("schema.json"))
    found, left = set(), [schema]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            found.add(f"{value.get('__module__')}.{value.get('__class__')}")
            left += value.values()
        elif isinstance(value, list):
            left += value
    return {name for name in found if name.startswith("sklearn_lsdn.")}


def test_files_do_not_name_where_code_stands(subjects, path):
    sources, targets = [s[0] for s in subjects], [s[2] for s in subjects]
    s = VolumeSynthesizer(_network(), n_voxels=50)
    save_model(s.fit(sources, targets), path)
    names = _names(path)
    public = {name for name in names if not name.startswith("sklearn_lsdn.parts.")}
    assert public == {
        "sklearn_lsdn.VolumeSynthesizer",
        "sklearn_lsdn.LSDNRegressor",
        "sklearn_lsdn.volumes.ZScoreNormalizer",
    }
    for name in public:
        module, _, cls = name.rpartition(".")
        assert isinstance(getattr(importlib.import_module(module), cls), type)


def test_a_class_that_moved_is_found(model, path, monkeypatch):
    save_model(model, path)
    moved = "sklearn_lsdn._regressors.elsewhere"
    monkeypatch.setitem(sys.modules, moved, sys.modules[LSDNRegressor.__module__])
    monkeypatch.setattr(LSDNRegressor, "__module__", moved)
    assert type(load_model(path)) is LSDNRegressor


def test_a_file_says_what_has_to_be_imported(model, path):
    save_model(model, path)
    code = f"from sklearn_lsdn import load_model; print(load_model({str(path)!r}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.startswith("LSDNRegressor"), run.stderr


# Files that appear whole or not at all


def test_a_file_is_replaced_only_when_told(model, path):
    path.write_text("precious")
    with pytest.raises(FileExistsError, match=r"model\.skops exists already"):
        save_model(model, path)
    assert path.read_text() == "precious"
    save_model(model, path, overwrite=True)
    assert type(load_model(path)) is LSDNRegressor
    assert os.listdir(path.parent) == ["model.skops"]


def test_paths_may_be_strings(model, path):
    save_model(model, str(path))
    assert type(load_model(str(path))) is LSDNRegressor


def test_a_folder_that_cannot_be_written_to(model, tmp_path):
    (tmp_path / "file").write_text("no folder")
    for folder in ("file", "missing"):
        with pytest.raises(OSError, match=folder):
            save_model(model, tmp_path / folder / "model.skops")
    with pytest.raises(OSError, match="directory"):
        save_model(model, tmp_path, overwrite=True)
    assert os.listdir(tmp_path) == ["file"]


def test_a_failure_leaves_the_old_file_and_no_other(model, path, monkeypatch):
    path.write_text("precious")

    def fail(*args):
        raise OSError("Input/output error")

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, fail)
            with pytest.raises(OSError, match="Input/output"):
                save_model(model, path, overwrite=True)
        assert os.listdir(path.parent) == ["model.skops"]
        assert path.read_text() == "precious"


def test_a_file_has_the_permissions_of_others(model, path):
    (path.parent / "plain").write_text("")
    save_model(model, path)
    assert path.stat().st_mode == (path.parent / "plain").stat().st_mode


def test_the_same_model_gives_the_same_content(model, path):
    save_model(model, path)
    again = path.with_name("again.skops")
    save_model(load_model(path), again)
    X = _data()[0]
    np.testing.assert_array_equal(load_model(again).predict(X), model.predict(X))


# What is not loaded


def _content(**changed):
    content = {
        "format": "sklearn_lsdn model",
        "protocol": PROTOCOL,
        "version": "0",
        "estimator": LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0]),
    }
    return content | changed


def test_the_layout_that_these_tests_forge_is_the_real_one(path):
    skops.io.dump(_content(), path)
    assert type(load_model(path)) is LinearRegression


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (functools.partial(os.system, "true"), "functools.partial"),
        (Foreign(), "Foreign"),
        (os.system, "system"),
        ([{"deep": functools.partial(print)}], "functools.partial"),
    ],
    ids=["partial", "class", "function", "nested"],
)
@pytest.mark.parametrize("place", ["estimator", "version", "other"])
def test_foreign_types_are_refused_by_name(value, named, place, path):
    skops.io.dump(_content(**{place: value}), path)
    with pytest.raises(ValueError, match=rf"(?s)model\.skops is refused.*{named}"):
        load_model(path)


def test_a_foreign_type_in_a_model_is_refused(model, path):
    estimator = make_pipeline(StandardScaler(), Foreign()).fit(*_data())
    skops.io.dump(_content(estimator=estimator), path)
    with pytest.raises(ValueError, match=r"refused.*Foreign"):
        load_model(path)


class Trap:
    """Leaves a mark when it is restored or constructed."""

    marker = ""

    def __init__(self):
        self.value = 1

    def __new__(cls):
        if cls.marker:
            open(cls.marker, "w").close()
        return super().__new__(cls)

    def __setstate__(self, state):
        open(Trap.marker, "w").close()

    def __getstate__(self):
        return {"value": 1}


def test_foreign_code_is_not_run(path, tmp_path, monkeypatch):
    marker = tmp_path / "marker"
    skops.io.dump(_content(other=Trap(), estimator=[Trap()]), path)
    monkeypatch.setattr(Trap, "marker", str(marker))
    with pytest.raises(ValueError, match=r"refused.*Trap"):
        load_model(path)
    assert not marker.exists()
    skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))
    assert marker.exists()  # the trap works


def test_foreign_modules_are_not_imported(path, tmp_path, monkeypatch):
    """A file that names a module is no reason to run it."""
    marker = tmp_path / "marker"
    (tmp_path / "hostile_module.py").write_text(
        f"open({str(marker)!r}, 'w').close()\nclass Thing: pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    skops.io.dump(_content(other=Trap()), path)
    _edit_schema(
        path, lambda text: text.replace(Trap.__module__, "hostile_module"), "Trap"
    )
    with pytest.raises(ValueError, match=r"refused.*hostile_module"):
        load_model(path)
    assert not marker.exists()
    assert "hostile_module" not in sys.modules


def _edit_schema(path, edit, must_hold):
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    text = members["schema.json"].decode()
    assert must_hold in text
    members["schema.json"] = edit(text).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def test_a_pickle_inside_is_not_opened(path, tmp_path):
    """Unpicklable by design: an object array must not go through pickle."""
    marker = tmp_path / "marker"

    class Payload:
        def __reduce__(self):
            return open, (str(marker), "w")

    np.save(tmp_path / "payload.npy", np.array([Payload()], dtype=object))
    skops.io.dump(_content(other=np.arange(3.0)), path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    arrays = [name for name in members if name.endswith(".npy")]
    assert arrays
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            payload = (tmp_path / "payload.npy").read_bytes()
            archive.writestr(name, payload if name in arrays else data)
    with pytest.raises(ValueError, match=r"model\.skops"):
        load_model(path)
    assert not marker.exists()


def test_a_missing_file_is_named(path):
    with pytest.raises(FileNotFoundError, match=r"model\.skops does not exist.*Check"):
        load_model(path)


def test_a_directory_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not a model file"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"not a zip\n" * 100, b"PK\x03\x04" + b"x" * 99]
)
def test_what_is_no_archive_is_refused(content, path):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.skops is not a model file"):
        load_model(path)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.9, 0.99])
def test_a_truncated_file_is_refused(model, path, share):
    save_model(model, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match=r"model\.skops is not a model file"):
        load_model(path)


@pytest.mark.parametrize(
    ("signature", "size"),
    [(b"PK\x03\x04", 30), (b"PK\x01\x02", 46), (b"PK\x05\x06", 22)],
    ids=["member", "directory", "end"],
)
def test_a_damaged_archive_is_refused_or_harmless(model, path, signature, size):
    """Whichever byte of its records: an error with the name, or the same model."""
    save_model(model, path)
    whole = path.read_bytes()
    X = _data()[0]
    expected = model.predict(X)
    start = whole.index(signature)
    for at in range(start, start + size):
        damaged = bytearray(whole)
        damaged[at] ^= 0xFF
        path.write_bytes(damaged)
        try:
            loaded = load_model(path)
        except ValueError as error:
            assert "model.skops" in str(error)  # noqa: PT017
        else:
            np.testing.assert_array_equal(loaded.predict(X), expected)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_damaged_contents_are_refused(model, path, share):
    save_model(model, path)
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo("schema.json")
    at = member.header_offset + 30 + len("schema.json")
    content[at + int(share * member.file_size)] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.skops is not a model file"):
        load_model(path)


@pytest.mark.parametrize("name", ["schema.json", ".npy"])
def test_a_file_without_a_part_is_refused(model, path, name):
    save_model(model, path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    left_out = next(member for member in members if member.endswith(name))
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in members.items():
            if member != left_out:
                archive.writestr(member, data)
    with pytest.raises(ValueError, match=r"model\.skops is not a model file"):
        load_model(path)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", json.dumps({"__class__": "dict"})], ids=repr
)
def test_an_unreadable_schema_is_refused(model, path, text):
    save_model(model, path)
    _edit_schema(path, lambda _: text, "LSDNRegressor")
    with pytest.raises(ValueError, match=r"model\.skops is not a model file"):
        load_model(path)


def test_other_skops_files_are_refused(model, path):
    for content in (model, {"format": "another"}, [1, 2]):
        skops.io.dump(content, path)
        with pytest.raises(ValueError, match="not written by sklearn_lsdn.save_model"):
            load_model(path)


def test_a_newer_protocol_is_refused_with_the_version(path):
    skops.io.dump(_content(protocol=PROTOCOL + 1, version="99.1"), path)
    with pytest.raises(
        ValueError, match=rf"sklearn_lsdn 99\.1 with protocol {PROTOCOL + 1}.*Update"
    ):
        load_model(path)


@pytest.mark.parametrize("missing", ["protocol", "estimator"])
def test_a_file_that_lacks_an_entry_is_refused(path, missing):
    content = _content()
    del content[missing]
    skops.io.dump(content, path)
    with pytest.raises(ValueError, match=r"model\.skops"):
        load_model(path)


def test_without_skops_it_says_what_to_install(model, path, monkeypatch):
    monkeypatch.setitem(sys.modules, "skops.io", None)
    for call in (lambda: save_model(model, path), lambda: load_model(path)):
        with pytest.raises(ImportError, match=r"pip install .*sklearn_lsdn\[io\]"):
            call()
