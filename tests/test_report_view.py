"""The view of a report: the voxels of synthesis and error, in any unit."""

import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from sklearn_lsdn.display._panels import Panel, window_of
from sklearn_lsdn.report._view import View

pytest.importorskip("jinja2")
pytest.importorskip("skimage")
pytest.importorskip("matplotlib")


@pytest.mark.parametrize("size", [0.5, 1.0])
def test_the_view_has_the_voxels_of_synthesis_and_error(size):
    """In voxels of a millimetre, errors of less than an eighth of white left out."""
    mask, wrong = np.zeros((2, 40, 48, 32), dtype=bool)
    mask[8:32, 8:40, 8:28] = wrong[10:14, 20:26, 12:20] = True
    error = np.where(wrong, 60.0, -10.0)
    synthesis = np.where(mask, 50.0, 7.0)  # half of white
    synthesis = Panel.of_scan("T2w (synthesis)", synthesis, (0, 100.0))
    affine = np.diag([size, size, size, 1])
    affine[:3, 3] = 5, -6, 7
    over = Panel.of_map("error", error, mask, (0, 100.0))
    given = mask, affine, affine[:3, 3] + 20 * size
    page = View.of(synthesis, over, *given).page
    below, above = _sprites(page)
    each = (1 / size) ** 3
    assert (abs(below[..., 0] - 127.0) < 10).sum() == mask.sum() / each
    drawn = above[(above[..., 3] > 0) & (np.ptp(above[..., :3], axis=-1) > 50)]
    assert len(drawn) == wrong.sum() / each
    assert (drawn[:, 0] > drawn[:, 2]).all()  # too bright is red
    where = re.search(r'"affine": (\[\[.*?\]\])', page)[1]
    step = 1 / size
    corner = affine[:3, 3] + size * (8 - 2 + (step - 1) / 2)
    corner -= 1  # of a voxel before it
    np.testing.assert_allclose(np.array(json.loads(where))[:3, 3], corner)
    nothing = Panel.of_map("error", np.zeros(mask.shape), mask, (0, 100.0))
    for small in (nothing, None):
        (alone,) = _sprites(View.of(synthesis, small, *given).page)
        assert (abs(alone[..., 0] - 127.0) < 10).sum() == mask.sum() / each


@pytest.mark.parametrize("scale", [1e-7, 1e7, -1.0])
def test_the_view_takes_any_unit_and_a_brain_that_fills_the_volume(scale):
    mask = np.ones((20, 24, 16), dtype=bool)
    synthesis = scale * np.random.default_rng(0).uniform(1, 2, mask.shape)
    window = window_of(synthesis, mask)
    over = Panel.of_map("error", synthesis, mask, window)
    panel = Panel.of_scan("synthesis", synthesis, window)
    for above, size in ((over, (1, 1, 1)), (None, (1, 1, 1)), (None, (0.9, 1.1, 4))):
        page = View.of(panel, above, mask, np.diag([*size, 1]), (8, 8, 8)).page
        assert min(len(np.unique(sprite)) for sprite in _sprites(page)) > 4


def _sprites(page):
    """Pictures of all slices that a view holds, but those of one colour."""
    found = re.findall(r"data:image/webp;base64,([\w+/=]+)", page)
    files = [io.BytesIO(base64.b64decode(each)) for each in found]
    sprites = [np.asarray(Image.open(file).convert("RGBA")) for file in files]
    return [s for s in sprites if len(s) > 1 and s[..., :3].any()]
