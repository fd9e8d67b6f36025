"""
What does it make of real scans?
================================

T2w is synthesised from T1w of a patient whom training has not seen, out of two others:
files in, a file out, and a picture of where it is wrong.

The scans are those of three multiple-sclerosis patients of the open MS data of Lesjak
et al. (Neuroinformatics 2017, :doi:`10.1007/s12021-017-9348-7`, Creative Commons
Attribution). They do not come with this package: without them, this page says so and
ends. The patient held back has wide ventricles and many lesions, and is the hardest of
the three.
"""

# %%
# Where the scans are: in a folder ``open_ms_mni`` of the one that LSDN_DATA names.
import os
from pathlib import Path

folder = Path(os.environ.get("LSDN_DATA", "")) / "open_ms_mni"
TRAINING, HELD_BACK = ["sub-07", "sub-26"], "sub-19"


def scan(subject, contrast):
    name = f"{subject}_space-MNI152_desc-preproc_{contrast}.nii.gz"
    return folder / subject / "anat" / name


there = scan(HELD_BACK, "T1w").is_file()
if not there:
    print("The open MS scans are not here: set LSDN_DATA to the folder that has them.")

# %%
# Training takes some seconds, and a prediction one. Scans that are stripped of all but
# brain, as these are, need no mask.
from sklearn_lsdn import VolumeSynthesizer

if there:
    t1w, t2w = (
        [scan(subject, contrast) for subject in TRAINING] for contrast in ("T1w", "T2w")
    )
    synthesizer = VolumeSynthesizer(n_voxels=50_000, random_state=0).fit(t1w, t2w)

# %%
# The synthesis comes in the units of the scan that it is compared with. Saved by
# ``nibabel.save``, it lies on the grid of the T1w.
import matplotlib.pyplot as plt

from sklearn_lsdn.display import SynthesisDisplay

if there:
    source, target = scan(HELD_BACK, "T1w"), scan(HELD_BACK, "T2w")
    (synthesis,) = synthesizer.predict([source], scale_to=[target])
    SynthesisDisplay.from_images(
        source, target, synthesis, source_name="T1w", target_name="T2w"
    )
    print(f"SNR over the brain: {synthesizer.score([source], [target]):.1f} dB")
    plt.show()
# sphinx_gallery_thumbnail_path = 'images/thumbnails/real_scans.webp'
