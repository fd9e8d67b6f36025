"""Simulated cohorts."""

import sys
from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import rice

from sklearn_lsdn.datasets import _anatomy as anatomy_module
from sklearn_lsdn.datasets import _cohort as cohort_module
from sklearn_lsdn.datasets import make_brain_cohort
from sklearn_lsdn.datasets._anatomy import Anatomy, displacement_on, draw_displacement
from sklearn_lsdn.datasets._fields import BOX, MAX_DISPLACEMENT, Grid, smooth_field
from sklearn_lsdn.datasets._physics import (
    FIELD_STRENGTHS,
    PROTOCOLS,
    TISSUES,
    inversion_recovery,
    mprage,
    scan,
    spin_echo,
    spoiled_gradient_echo,
)

CONTRASTS = ("T1w", "T2w", "PDw", "FLAIR")


def data(image):
    return np.asarray(image.dataobj)


@pytest.fixture(scope="module", autouse=True)
def _each_time_anew():
    """Rather than as conftest.py has it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cohort_module, "draw_anatomy", anatomy_module.draw_anatomy)
        yield


@pytest.fixture(scope="module")
def cohort():
    pytest.importorskip("nilearn", reason="templates come with nilearn")
    return make_brain_cohort(2, CONTRASTS, voxel_size=4.0, random_state=0)


@pytest.fixture(scope="module")
def displacements():
    pytest.importorskip("nilearn", reason="templates come with nilearn")
    axes = Grid(4.0).axes
    points = np.stack(np.meshgrid(*axes, indexing="ij"))
    tissues, origin = anatomy_module.load_template()
    inside = anatomy_module._sample(tissues.sum(0), points, origin) > 0.5
    fields = [
        displacement_on(
            draw_displacement(np.random.default_rng(seed), atrophy=seed - 2), axes
        )
        for seed in range(5)
    ]
    return points, inside, fields


class TestImages:
    def test_layout(self, cohort):
        assert cohort.subjects == ["sub-01", "sub-02"]
        assert set(cohort.images) == set(CONTRASTS)
        for images in cohort.images.values():
            for image, mask in zip(images, cohort.masks, strict=True):
                assert image.shape == (41, 50, 43)
                assert image.get_data_dtype() == np.float32
                assert mask.get_data_dtype() == np.uint8
                assert_allclose(image.affine, mask.affine)
                for form in image.get_sform, image.get_qform:
                    affine, code = form(coded=True)
                    assert code == 4
                    assert_allclose(affine, image.affine, atol=1e-4)
                inside = data(mask) == 1
                assert_array_equal(data(image)[~inside], 0)
                assert (data(image)[inside] > 0).all()

    def test_grid_covers_the_box_in_world_space(self):
        for size in (1.0, 2.5, 4.0):
            grid = Grid(size)
            first = grid.affine @ [0, 0, 0, 1]
            assert_allclose(first[:3], [a[0] for a in grid.axes])
            assert_allclose(first[:3] - size / 2, BOX[0])
            last = np.array([a[-1] for a in grid.axes]) + size / 2
            assert (last >= BOX[1]).all()
            assert (last < BOX[1] + size).all()

    def test_no_brain_touches_the_border(self, cohort):
        for mask in cohort.masks:
            interior = data(mask)[1:-1, 1:-1, 1:-1]
            assert interior.sum() == data(mask).sum()

    def test_brain_is_in_place(self, cohort):
        for mask, tissues in zip(cohort.masks, cohort.tissues, strict=True):
            litres = data(mask).sum() * 4.0**3 / 1e6
            assert 1.4 < litres < 2.4
            shares = data(tissues)[data(mask) == 1]
            assert_allclose(shares.sum(1), 1, atol=1e-5)
            inverse = np.linalg.inv(mask.affine)
            # Genu of the corpus callosum, frontal horn, and fourth ventricle.
            for point, tissue in [((0, 27, 4), 1), ((0, -45, -32), 2)]:
                index = np.round(inverse @ [*point, 1]).astype(int)[:3]
                around = tuple(slice(i - 2, i + 3) for i in index)
                assert data(tissues)[around][..., tissue].max() > 0.7

    def test_coarse_voxels_average_fine_ones(self, cohort):
        coarse = make_brain_cohort(1, voxel_size=8.0, random_state=0)
        shares = data(cohort.tissues[0])[:40, :48, :42]
        blocks = shares.reshape(20, 2, 24, 2, 21, 2, 3).mean((1, 3, 5))
        both = (blocks.sum(-1) > 0.999) & (data(coarse.masks[0])[:20, :24, :21] == 1)
        error = (data(coarse.tissues[0])[:20, :24, :21] - blocks)[both]
        assert np.abs(error).mean() < 0.04
        assert_allclose(error.mean(0), 0, atol=0.01)


class TestRandomness:
    def test_scan_depends_on_the_seed_alone(self, cohort):
        # Neither on the other subjects nor on the other contrasts.
        alone = make_brain_cohort(1, ["FLAIR"], voxel_size=4.0, random_state=0)
        assert_array_equal(
            data(alone.images["FLAIR"][0]), data(cohort.images["FLAIR"][0])
        )
        assert_array_equal(data(alone.tissues[0]), data(cohort.tissues[0]))

    def test_seeds_and_subjects_differ(self, cohort):
        other = make_brain_cohort(
            1, voxel_size=4.0, random_state=np.random.RandomState(1)
        )
        first, second = (data(mask) for mask in cohort.masks)
        assert (first != second).sum() > 0.01 * first.sum()
        assert (first != data(other.masks[0])).sum() > 0.01 * first.sum()

    def test_gains_differ(self, cohort):
        means = [data(i)[data(i) > 0].mean() for i in cohort.images["PDw"]]
        assert max(means) / min(means) > 1.02


@pytest.fixture(scope="module", params=sorted(PROTOCOLS))
def medians(request, cohort):
    """Median signals of grey matter, white matter and CSF in a subject."""
    if request.param != "A":
        cohort = make_brain_cohort(
            1, CONTRASTS, voxel_size=4.0, protocol=request.param, random_state=0
        )
    shares = data(cohort.tissues[0])
    return {
        name: [np.median(data(images[0])[shares[..., k] > 0.85]) for k in range(3)]
        for name, images in cohort.images.items()
    }


class TestContrast:
    def test_t1w(self, medians):
        grey, white, fluid = medians["T1w"]
        assert white > 1.2 * grey > 1.2 * 1.5 * fluid

    def test_t2w(self, medians):
        grey, white, fluid = medians["T2w"]
        assert fluid > 1.5 * grey > 1.5 * 1.2 * white

    def test_pdw(self, medians):
        grey, white, _ = medians["PDw"]
        assert 1.02 < grey / white < 1.4

    def test_flair(self, medians):
        grey, white, fluid = medians["FLAIR"]
        assert grey >= white > 3 * fluid


class TestSignalEquations:
    def test_spin_echo_limits(self):
        assert_allclose(spin_echo(0.7, 800, 70, tr=1e9, te=0), 0.7)
        assert_allclose(spin_echo(0.7, 800, 70, tr=1e9, te=70), 0.7 / np.e)
        assert_allclose(spin_echo(1, 800, 70, tr=800 * np.log(2), te=0), 0.5)

    def test_inversion_nulls(self):
        t1, tr = 4300.0, 9000.0
        ti = t1 * np.log(2 / (1 + np.exp(-tr / t1)))
        assert_allclose(
            inversion_recovery(1, t1, 2000, tr=tr, te=100, ti=ti), 0, atol=1e-12
        )
        assert inversion_recovery(1, t1, 2000, tr=tr, te=100, ti=0.9 * ti) < 0
        train = dict(tr=tr, te=0, flip=1e-3, spacing=7.0, n_echoes=100)
        assert_allclose(mprage(1, t1, 2000, ti=ti, **train), 0, atol=1e-9)

    def test_spoiled_gradient_echo_peaks_at_the_ernst_angle(self):
        flips = np.arange(1, 90, 0.01)
        signal = spoiled_gradient_echo(1, 800, 70, tr=20, te=0, flip=flips)
        ernst = np.rad2deg(np.arccos(np.exp(-20 / 800)))
        assert_allclose(flips[signal.argmax()], ernst, atol=0.01)
        full = spoiled_gradient_echo(1, 800, 70, tr=400, te=0, flip=90)
        assert_allclose(full, spin_echo(1, 800, 70, tr=400, te=0))

    def test_mprage_agrees_with_pulse_by_pulse_relaxation(self):
        t1, flip, spacing, n_echoes, ti, tr = 900.0, 9.0, 7.0, 176, 900.0, 2300.0
        cosine, sine = np.cos(np.deg2rad(flip)), np.sin(np.deg2rad(flip))
        before = ti - n_echoes * spacing / 2
        after = tr - ti - n_echoes * spacing / 2

        def relax(m, duration):
            return 1 - (1 - m) * np.exp(-duration / t1)

        m = 1.0
        for _ in range(20):
            m = relax(-m, before)
            train = []
            for _ in range(n_echoes):
                train.append(m)
                m = relax(m * cosine, spacing)
            m = relax(m, after)
        settings = dict(flip=flip, spacing=spacing, n_echoes=n_echoes, ti=ti, tr=tr)
        signal = mprage(1.0, t1, 70.0, te=0, **settings)
        assert_allclose(signal, sine * train[n_echoes // 2], rtol=1e-9)

    def test_flair_sequences_null_csf(self):
        for protocol, sequences in PROTOCOLS.items():
            tissues = TISSUES[FIELD_STRENGTHS[protocol]]
            grey, _, fluid = (sequences["FLAIR"](*tissue) for tissue in tissues)
            assert abs(fluid) < 0.25 * grey


class TestScan:
    @pytest.fixture
    def uniform(self):
        """A box of one tissue, and its parameters."""
        grid = Grid(4.0)
        mask = np.ones(grid.shape, dtype=bool)
        shares = np.zeros((3, mask.sum()), np.float32)
        shares[0] = 1
        box = Anatomy(grid, mask, shares, np.zeros_like(shares))
        parameters = TISSUES[3.0][..., None] * np.ones(mask.sum(), np.float32)
        return box, parameters, partial(spin_echo, tr=3000, te=15)

    @pytest.mark.parametrize("noise", [0.05, 1.0, 3.0])
    def test_noise_is_rician(self, uniform, noise):
        rng = np.random.default_rng(0)
        image = scan(rng, *uniform, noise=noise, bias=0)
        law = rice(1 / noise)
        # The gain cancels from the ratios of moments.
        assert_allclose(image.std() / image.mean(), law.std() / law.mean(), rtol=0.01)
        median = law.median() / law.mean()
        assert_allclose(np.median(image) / image.mean(), median, rtol=0.01)

    def test_bias_is_smooth_and_as_strong_as_asked(self, uniform):
        logs = [
            np.log(scan(np.random.default_rng(s), *uniform, noise=0, bias=0.1))
            for s in range(20)
        ]
        deviation = np.sqrt(np.mean([(f - f.mean()) ** 2 for f in logs]))
        assert 0.07 < deviation < 0.12
        steps = [np.abs(np.diff(f, axis=a)).max() for f in logs for a in range(3)]
        assert max(steps) < 0.05

    def test_without_noise_or_bias_only_the_gain_is_left(self, uniform):
        images = [
            scan(np.random.default_rng(s), *uniform, noise=0, bias=0) for s in range(2)
        ]
        for image in images:
            assert_allclose(image, image[0, 0, 0], rtol=1e-6)
        assert abs(images[0][0, 0, 0] / images[1][0, 0, 0] - 1) > 0.01


class TestWarps:
    def test_magnitude(self, displacements):
        _, inside, fields = displacements
        for field in fields:
            assert np.abs(field).max() <= MAX_DISPLACEMENT
            norm = np.sqrt((field**2).sum(0))[inside]
            assert 2 < norm.mean() < 6
            assert np.quantile(norm, 0.95) > 3.5

    def test_jacobian_is_positive(self, displacements):
        _, _, fields = displacements
        for field in fields:
            gradient = np.stack([np.stack(np.gradient(f, 4.0)) for f in field])
            jacobian = np.moveaxis(gradient, (0, 1), (-2, -1)) + np.eye(3)
            assert np.linalg.det(jacobian).min() > 0.1

    def test_no_rigid_motion_is_left(self, displacements):
        points, inside, fields = displacements
        for field in fields:
            before = points[:, inside]
            after = before + field[:, inside]
            shift = after.mean(1) - before.mean(1)
            assert np.linalg.norm(shift) < 1.0
            left, _, right = np.linalg.svd(
                (after - after.mean(1, keepdims=True)) @ before.T
            )
            angle = np.arccos(min((np.trace(left @ right) - 1) / 2, 1))
            assert np.rad2deg(angle) < 1.0

    def test_smooth_field_is_standardised_and_free_of_the_grid(self):
        fields = [
            smooth_field(np.random.default_rng(0), Grid(size).axes, 8.0)
            for size in (1.0, 3.0)
        ]
        # Every third centre of the fine grid is a centre of the coarse one.
        fine = fields[0][1::3, 1::3, 1::3]
        coarse = fields[1][tuple(slice(n) for n in fine.shape)]
        assert_allclose(fine, coarse, atol=1e-4)
        assert abs(fields[0].mean()) < 0.05
        assert_allclose(fields[0].std(), 1, atol=0.05)


class TestErrors:
    @pytest.mark.parametrize("contrasts", [["T1w", "T3w"], []])
    def test_contrasts(self, contrasts):
        with pytest.raises(ValueError, match="T1w, T2w, PDw, FLAIR"):
            make_brain_cohort(1, contrasts)

    @pytest.mark.parametrize(
        "parameter",
        [
            {"n_subjects": 0},
            {"n_subjects": 1.5},
            {"contrasts": "T1w"},
            {"voxel_size": 0.5},
            {"noise": -1},
            {"bias": -1},
            {"protocol": "C"},
            {"random_state": "seed"},
        ],
    )
    def test_parameters(self, parameter):
        with pytest.raises(ValueError, match=next(iter(parameter))):
            make_brain_cohort(**parameter)

    def test_nilearn_missing(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "nilearn.datasets", None)
        with pytest.raises(ImportError, match=r"pip install \"sklearn_lsdn\[demo\]"):
            anatomy_module.load_template.__wrapped__()
