"""Draw docs/images/real_scans.webp anew: LSDN_DATA=... python docs/draw_pictures.py

It is what examples/plot_real_scans.py draws, sharp at twice the width of a page.
"""

import io
import runpy
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from PIL import Image

HERE = Path(__file__).parent
DPI = 150

if __name__ == "__main__":
    runpy.run_path(str(HERE.parent / "examples" / "plot_real_scans.py"))
    drawn = io.BytesIO()
    plt.gcf().savefig(drawn, dpi=DPI)
    path = HERE / "images" / "real_scans.webp"
    Image.open(drawn).convert("RGB").save(path, quality=80, method=6)
    print(f"{path}: {path.stat().st_size / 1024:.0f} KiB")
