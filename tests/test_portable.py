"""A whole synthesis as one ONNX graph: a runtime computes what `predict` does."""

import os
import queue
import re
import shutil
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from conftest import REPOSITORY
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from small_commands import contents, misused, refused
from small_commands import run as run_command
from small_volumes import framed, make_contrasts, make_image, small, small_network

from sklearn_lsdn import (
    CDNRegressor,
    EnsembleRegressor,
    LSDNClassifier,
    LSDNRegressor,
    ShrinkConnect,
    VDNRegressor,
    VolumeSegmenter,
    VolumeSynthesizer,
    save_model,
    to_onnx,
)
from sklearn_lsdn.volumes import PeakNormalizer, ZScoreNormalizer

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

NEAR = 1e-4  # of the standard deviation of what is predicted
TURNED = nib.affines.from_matvec(
    nib.eulerangles.euler2mat(0.1, -0.2, 0.15) @ np.diag([1.1, 1.0, 1.2]), [9, -20, 5]
)


@pytest.fixture(scope="module")
def subjects():
    """Three, each with contrasts a, b, c and d on a grid of its own."""
    shape, names = (19, 22, 17), "abcd"
    return [
        dict(zip(names, map(_image, make_contrasts(s, shape)), strict=True))
        for s in range(3)
    ]


def _image(data):
    return make_image(framed(data), TURNED)


def _of(subjects, names):
    """Images of each subject, in lists if there are several."""
    if len(names) == 1:
        return [subject[names] for subject in subjects]
    return [[subject[name] for name in names] for subject in subjects]


def _arrays(images):
    images = images if isinstance(images, list) else [images]
    return np.stack([np.asanyarray(image.dataobj, dtype="f4") for image in images])


def _run(model, images, mask, **more):
    """Outputs by name, of one subject."""
    session = onnxruntime.InferenceSession(model.SerializeToString())
    affine = (images[0] if isinstance(images, list) else images).affine.astype("f4")
    given = dict(volumes=_arrays(images), mask=mask.astype("u1"), affine=affine)
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(None, given | more), strict=True))


def _assert_near(computed, expected, mask):
    assert computed.dtype == np.float32
    assert computed.shape == expected.shape
    assert not computed[:, ~mask].any()
    for one, other in zip(computed[:, mask], expected[:, mask], strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=NEAR * other.std())


def _assert_same(subjects, sources, targets, return_std=False, **parameters):
    """Train on two subjects; on the third, the graph must give what `predict` does."""
    *known, new = _of(subjects, sources)
    synthesizer = small(**parameters).fit(known, _of(subjects[:2], targets))
    synthesis = synthesizer.synthesize(new, return_std=return_std, on_unlike="ignore")
    mask = synthesis.subject.mask
    model = to_onnx(synthesizer)
    outputs = _run(model, new, mask)
    expected = {"synthesis": _arrays(synthesis.images)}
    if return_std:
        expected["deviation"] = _arrays(synthesis.std_images)
    assert outputs.keys() == expected.keys()
    for name, values in expected.items():
        _assert_near(outputs[name], values, mask)
    return model


@pytest.mark.parametrize(
    "parameters",
    [
        dict(places="world"),
        dict(places="brain", patch_scales=(1, 2), target_patch_size=3),
        dict(places=None, patch_size=1),
        dict(patch_scales=(3,), patch_size=5, target_patch_size=5),
        dict(smoothing=3.0),
        dict(smoothing=0.1, target_patch_size=3),
        dict(normalization="percentile"),
        dict(normalization="nyul"),
        dict(normalization="auto"),
        dict(normalization=ZScoreNormalizer(trim=0)),
        dict(estimator=small_network(CDNRegressor)),
        dict(estimator=small_network(VDNRegressor)),
        dict(estimator=LSDNRegressor((30,), max_iter=4, sigma=0.05)),
    ],
    ids=str,
)
def test_graph_gives_what_predict_does(subjects, parameters):
    _assert_same(subjects, "a", "c", **parameters)


def test_several_sources_and_targets(subjects):
    options = dict(patch_scales=(1, 2), target_patch_size=3, smoothing=2.0)
    model = _assert_same(subjects, "ab", "cd", places="brain", **options)
    assert [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim][
        0
    ] == 2


@pytest.mark.parametrize("normalization", ["zscore", "nyul"])
def test_ensembles_give_deviations_too(subjects, normalization):
    options = dict(n_estimators=2, target_patch_size=3, normalization=normalization)
    _assert_same(subjects, "a", "cd", True, smoothing=2.0, **options)


def test_an_ensemble_of_one_knows_its_errors(subjects):
    one = EnsembleRegressor(small_network(), 1)
    _assert_same(subjects, "a", "c", True, estimator=one)


def test_a_shrunken_network_is_a_smaller_file(subjects):
    network = small_network()
    whole = _assert_same(subjects, "a", "c", estimator=network)
    shrunk = ShrinkConnect(network, keep=0.3, max_iter=1)
    part = _assert_same(subjects, "a", "c", estimator=shrunk)
    assert part.ByteSize() < whole.ByteSize()


@pytest.mark.parametrize("n_estimators", [1, 2])
def test_of_a_model_for_missing_sources_the_network_for_all(subjects, n_estimators):
    options = dict(missing_sources=True, patch_scales=(1, 2))
    std = n_estimators > 1
    _assert_same(subjects, "ab", "c", std, n_estimators=n_estimators, **options)


def test_of_a_model_for_missing_sources_the_facts_are_of_that_network(subjects):
    synthesizer = small(missing_sources=True)
    a, b, c = (_of(subjects[:2], name) for name in "abc")
    model = to_onnx(synthesizer.fit([[a[0], b[0]], [a[1], None]], c))
    assert not {"may be missing", "one for each of"} & {
        each.key for each in model.metadata_props
    }
    synthesizer.fit([[a[0], None], [None, b[1]]], c)
    with pytest.raises(ValueError, match="no training subject had all of them"):
        to_onnx(synthesizer)


def test_template_places_are_an_input(subjects, monkeypatch):
    synthesizer = small(places="world").fit(*(_of(subjects[:2], name) for name in "ac"))
    new = subjects[2]["a"]
    (expected,) = synthesizer.predict([new], on_unlike="ignore")
    window = vars(synthesizer.preparation_.window)
    monkeypatch.setitem(window, "places", "template")
    model = to_onnx(synthesizer)
    mask = _arrays(new)[0] != 0
    outputs = _run(model, new, mask, places=new.affine.astype("f4"))
    _assert_near(outputs["synthesis"], _arrays(expected), mask)


def test_artefacts_and_what_is_not_finite_outside_the_brain(subjects):
    synthesizer = small(patch_scales=(1, 2), normalization="percentile")
    synthesizer.fit(_of(subjects[:2], "a"), _of(subjects[:2], "c"))
    data = _arrays(subjects[2]["a"])[0]
    mask = data != 0
    data[10, 11, 9:11] *= 1e4
    data[0, 0, :3] = np.nan, np.inf, -5e6
    new = make_image(data, TURNED)
    (expected,) = synthesizer.predict([new], masks=[mask], on_unlike="ignore")
    outputs = _run(to_onnx(synthesizer), new, mask)
    _assert_near(outputs["synthesis"], _arrays(expected), mask)


def test_what_is_constant_but_for_a_few_voxels(subjects):
    """There is nothing to say which of them are artefacts."""
    synthesizer = small(normalization=ZScoreNormalizer(trim=0))
    synthesizer.fit(_of(subjects[:2], "a"), _of(subjects[:2], "c"))
    mask = _arrays(subjects[2]["a"])[0] != 0
    data = np.where(mask, np.float32(100), np.float32(0))
    data[10, 11, 9] = 130
    new = make_image(data, TURNED)
    (expected,) = synthesizer.predict([new], masks=[mask], on_unlike="ignore")
    outputs = _run(to_onnx(synthesizer), new, mask)
    _assert_near(outputs["synthesis"], _arrays(expected), mask)


@pytest.mark.parametrize("limits", [[100], [95, 105]])
def test_a_segmenter_gives_probabilities_and_labels(subjects, limits):
    scans, brains = _of(subjects, "a"), [_arrays(s["a"])[0] for s in subjects]
    labels = [
        make_image(
            (3 * np.digitize(b * 100 / b[b > 0].mean(), limits)).astype("u1"), TURNED
        )
        for b in brains
    ]
    network = LSDNClassifier((20, 5), max_iter=20)
    segmenter = VolumeSegmenter(network, n_voxels=400, random_state=0)
    segmenter.fit(scans[:2], labels[:2])
    segmentation = segmenter.segment(scans[2], on_unlike="ignore")
    mask = segmentation.subject.mask
    outputs = _run(to_onnx(segmenter), scans[2], mask)
    _assert_near(
        outputs["probabilities"], _arrays(segmentation.probability_images), mask
    )
    found = np.asanyarray(segmentation.image.dataobj)
    assert outputs["labels"].dtype == np.int64
    assert (outputs["labels"] == found)[mask].mean() > 0.999
    assert not outputs["labels"][~mask].any()
    assert len(np.unique(found[mask])) == len(limits) + 1


@pytest.fixture(scope="module")
def fitted(subjects):
    return small(patch_scales=(1, 2)).fit(
        _of(subjects[:2], "a"), _of(subjects[:2], "c")
    )


def test_a_model_says_what_it_is(fitted):
    model = to_onnx(fitted)
    assert model.ir_version == 8
    assert [(each.domain, each.version) for each in model.opset_import] == [("", 17)]
    known = {each.key: each.value for each in model.metadata_props}
    assert "towards right, anterior and superior" in known["orientation"]
    assert known["voxel size"].startswith("1.1 x 1 x 1.2 mm")
    assert "not for diagnosis" in known["intended use"]
    assert known["places"] == "world coordinates"


def test_the_same_bytes_every_time(fitted):
    assert to_onnx(fitted).SerializeToString() == to_onnx(fitted).SerializeToString()


class OwnNormalizer(ZScoreNormalizer):
    pass


@pytest.mark.parametrize("normalizer", [PeakNormalizer(), OwnNormalizer()])
def test_normalizers_that_are_refused(subjects, normalizer):
    scans = _of(subjects, "a")
    synthesizer = small(normalization=normalizer).fit(scans, scans)
    with pytest.raises(TypeError, match=f"not that of {type(normalizer).__name__}"):
        to_onnx(synthesizer)


def test_other_regressors_are_refused(subjects):
    scans = _of(subjects, "a")
    synthesizer = small(LinearRegression()).fit(scans, scans)
    with pytest.raises(TypeError, match="not a LinearRegression"):
        to_onnx(synthesizer)


def test_neighbours_are_refused(fitted, monkeypatch):
    window = vars(fitted.preparation_.window)
    monkeypatch.setitem(window, "neighbours", "warped")
    with pytest.raises(ValueError, match="Fit without neighbours"):
        to_onnx(fitted)


def test_unfitted():
    with pytest.raises(NotFittedError, match="VolumeSynthesizer"):
        to_onnx(VolumeSynthesizer())


# lsdn export


@pytest.fixture
def saved(fitted, tmp_path):
    """A model file, alone in its folder."""
    return save_model(fitted, tmp_path / "t2w.skops") or tmp_path / "t2w.skops"


def test_the_command_writes_what_to_onnx_does(saved, fitted, capsys):
    path = saved.with_suffix(".onnx")
    assert run_command("export", saved, "-o", path) == 0
    assert capsys.readouterr().out.startswith(f"Saved {path}, ")
    assert onnx.load(path) == to_onnx(fitted)


def test_the_command_leaves_nothing_behind(saved, capsys):
    path = saved.with_suffix(".onnx")
    path.write_text("mine")
    before = contents(saved.parent)
    assert "exists already" in refused(capsys, "export", saved, "-o", path)
    assert "no.skops" in refused(capsys, "export", "no.skops", "-o", "a.onnx")
    assert ".onnx" in misused(capsys, "export", saved, "-o", "t2w.skops")
    assert contents(saved.parent) == before
    assert run_command("export", saved, "-o", path, "--overwrite") == 0
    onnx.checker.check_model(path)


# docs/portable.md

PAGE = (REPOSITORY / "docs/portable.md").read_text(encoding="utf-8")


def _code(language):
    (code,) = re.findall(f"^```{language}\n(.*?)^```$", PAGE, re.S | re.M)
    return code


def test_the_page_in_python(subjects, fitted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    onnx.save(to_onnx(fitted), "t2w.onnx")
    nib.save(subjects[2]["a"], "sub-26_T1w.nii.gz")
    exec(_code("python"), {})
    (expected,) = fitted.predict(["sub-26_T1w.nii.gz"], on_unlike="ignore")
    mask = _arrays(subjects[2]["a"])[0] != 0
    _assert_near(_arrays(nib.load("sub-26_T2w.nii.gz")), _arrays(expected), mask)


BROWSER = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
WEB = os.environ.get("LSDN_ORT_WEB", "")
DRIVER = """\
<!doctype html><script type="module">
const post = body => fetch("result", {method: "POST", body});
try {
  const { synthesise } = await import("./page.mjs");
  const load = async name => (await fetch(name)).arrayBuffer();
  const floats = async name => new Float32Array(await load(name));
  const mask = new Uint8Array(await load("mask"));
  const affine = await floats("affine");
  await post(await synthesise(await floats("volumes"), mask, affine, SHAPE));
} catch (error) { await post("error: " + error); }
</script>
"""


@pytest.fixture
def served(tmp_path):
    """Address of a server of the test's folder, and a queue of what is sent to it."""
    posted = queue.Queue()

    class Handler(SimpleHTTPRequestHandler):
        extensions_map = {".mjs": "text/javascript", ".html": "text/html"}
        extensions_map |= {".wasm": "application/wasm", "": "application/octet-stream"}

        def do_POST(self):
            posted.put(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args):
            pass

    handler = partial(Handler, directory=tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", posted
        server.shutdown()
        thread.join()


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
@pytest.mark.skipif(
    not Path(WEB, "ort.wasm.min.mjs").is_file(),
    reason="LSDN_ORT_WEB does not name the folder dist of onnxruntime-web",
)
def test_the_page_in_a_browser(subjects, fitted, tmp_path, served):
    new = subjects[2]["a"]
    (expected,) = fitted.predict([new], on_unlike="ignore")
    volume = _arrays(new)
    mask = volume[0] != 0
    onnx.save(to_onnx(fitted), tmp_path / "t2w.onnx")
    (tmp_path / "ort").symlink_to(WEB)
    (tmp_path / "volumes").write_bytes(volume.tobytes())
    (tmp_path / "mask").write_bytes(mask.astype("u1").tobytes())
    (tmp_path / "affine").write_bytes(new.affine.astype("f4").tobytes())
    (tmp_path / "page.mjs").write_text(_code("js"))
    (tmp_path / "index.html").write_text(DRIVER.replace("SHAPE", str([*mask.shape])))
    address, posted = served
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", profile]
    command += ["--remote-debugging-port=0", f"{address}/index.html"]
    quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with subprocess.Popen(command, **quiet) as browser:
        try:
            result = posted.get(timeout=120)
        finally:
            browser.terminate()
    assert not result.startswith(b"error"), result
    computed = np.frombuffer(result, dtype=np.float32).reshape(volume.shape)
    _assert_near(computed, _arrays(expected), mask)
