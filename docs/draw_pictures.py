"""Draw docs/images/real_scans.png anew: LSDN_DATA=... python docs/draw_pictures.py

It is what examples/plot_real_scans.py draws, in as many colours as a page needs.
"""

import io
import runpy
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from PIL import Image

HERE = Path(__file__).parent
COLOURS, DPI = 128, 90

if __name__ == "__main__":
    runpy.run_path(str(HERE.parent / "examples" / "plot_real_scans.py"))
    drawn = io.BytesIO()
    plt.gcf().savefig(drawn, dpi=DPI)
    picture = Image.open(drawn).convert("RGB").quantize(COLOURS)
    path = HERE / "images" / "real_scans.png"
    picture.save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1024:.0f} KiB")
