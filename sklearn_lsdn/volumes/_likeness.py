"""How like those of training the scans of a subject are, in numbers and in words."""

from dataclasses import dataclass, field

import numpy as np

STATED = {
    "voxel size": np.log(1.15),
    "turn": 0.06,
    "distance": 14.0,
    "further pieces": 0.1,
    "size": np.log(1.25),
    "correlation": -0.2,
    "histogram": 0.33,
    "field": 1.0,
    "texture": 0.45,
}
"""Statistics in the order of their reasons, and what they may be in a suitable scan.

That holds whatever training shows; it was chosen on open MS. In turn: logarithm of the
ratio of sides; gain of overlap by turning the head; mm between the brains' centres;
volume of further pieces beside the largest; logarithm of the ratio of volumes, if part
of the brain lies beyond those of training; correlation with the intensities expected at
each place, its sign turned; distance of quantiles, and range of a smooth field, in
standard deviations of intensity; logarithm of the ratio of textures.
"""
_UNITS = {
    "voxel size": "times",
    "distance": "mm",
    "size": "times",
    "histogram": "standard deviations",
    "field": "standard deviations",
    "texture": "times",
}
OF_HEAD = ["voxel size", "turn", "distance", "further pieces", "size"]
OF_SCAN = ["correlation", "histogram", "field", "texture"]


def name_in(statistic, contrast, n_contrasts) -> str:
    """What a statistic of a scan is called: with a number, if there are several."""
    return f"{statistic} {contrast + 1}" if n_contrasts > 1 else statistic


@dataclass
class Likeness:
    """How like those of training the scans of a subject are.

    Parameters
    ----------
    values, limits : dict of str to float
        Of each statistic; those of scans have the number of the contrast after their
        name, from 1 on, if there are several. Of a missing contrast there are none.
    met : dict of str to (float, float)
        The range of each over training subjects, each beside the others; empty for one.
    voxel_sizes : (list of float, list of float)
        Of the scans and of training, in mm.
    turned : str
        How the head seems to be turned.
    textures : list of float
        Of each scan, beside its contrast in training.
    explained : list of bool
        Whether a smooth field explains that a scan looks like another contrast.
    exchanged : list of int
        Two scans that look like each other's contrasts, if any do.
    """

    values: dict
    limits: dict
    met: dict
    voxel_sizes: tuple
    turned: str
    textures: list
    explained: list
    exchanged: list = field(default_factory=list)

    def is_unlike(self, statistic, contrast=0) -> bool:
        """Whether a statistic is beyond its limit."""
        name = name_in(statistic, contrast, self._n)
        name = statistic if statistic in OF_HEAD else name
        return name in self.values and self.values[name] > self.limits[name]

    @property
    def distance(self) -> float:
        """The largest of the statistics beside its limit: above 1, it is unlike.

        Of the correlation, what both lack of 1 are compared.
        """
        ratios = []
        for name, value in self.values.items():
            least = -1 if name.startswith("correlation") else 0
            ratios.append((value - least) / (self.limits[name] - least))
        return float(max(ratios))

    def told(self) -> dict:
        """Statistics by name, with limit and range met, for people and JSON.

        Ratios come as such, and the correlation with its own sign, so that its limit
        is the least.
        """
        told = {}
        for name, value in self.values.items():
            limit = _shown(name, self.limits[name])
            told[name] = {
                "Value": _shown(name, value),
                "Limit": limit if np.isfinite(limit) else None,
            }
            if _units_of(name):
                told[name]["Units"] = _units_of(name)
            if name in self.met:
                told[name]["InTraining"] = sorted(
                    _shown(name, m) for m in self.met[name]
                )
        return told

    @property
    def reasons(self) -> list[tuple[int | None, str]]:
        """Why they are unlike, the first reason first.

        The contrast, None for all, and a sentence without the name of the scan.
        """
        reasons = [(None, self._of_head(n)) for n in OF_HEAD if self.is_unlike(n)]
        if self.exchanged:
            numbers = " and ".join(str(c + 1) for c in self.exchanged)
            said = f"sources {numbers} look exchanged. Give them in training's order."
            reasons.append((None, said))
        for c in range(self._n):
            if c not in self.exchanged:
                reasons += [(c, reason) for reason in self._of_scan(c)]
        return reasons

    def said_of(self, names) -> str:
        """A sentence about each reason, with names of the sources; empty without one.

        Parameters
        ----------
        names : dict of int to str
            By contrast.
        """
        said = {}
        for contrast, reason in self.reasons:
            name = " and ".join(names.values()) if contrast is None else names[contrast]
            said.setdefault(name, []).append(reason)
        return " ".join(
            f"{name}: unlike the scans of training: {' Also, '.join(reasons)}"
            for name, reasons in said.items()
        )

    @property
    def _n(self):
        return len(self.textures)

    def _of_head(self, name):
        value = self.values[name]
        match name:
            case "voxel size":
                own, training = (_by(sizes) for sizes in self.voxel_sizes)
                return (
                    f"voxels of {own} mm, where training had {training} mm. A model of "
                    "its own voxel size shows more."
                )
            case "turn":
                return f"the head seems to be {self.turned}. Is its orientation right?"
            case "distance":
                return (
                    f"the brain lies {value:.0f} mm from those of training"
                    f"{self._met(name)}. Is the image in the space of training?"
                )
            case "further pieces":
                return (
                    f"a further piece, {value:.0%} as large as the brain, lies apart "
                    "from it. Is the skull still there?"
                )
        return (
            f"the brain is {np.exp(value):.2f} times as large as the largest of "
            "training, and reaches beyond it. Is part of the skull still there?"
        )

    def _of_scan(self, c):
        biased = self.is_unlike("field", c)
        strange = self.is_unlike("correlation", c) or self.is_unlike("histogram", c)
        if strange and not (biased and self.explained[c]):
            yield self._of_contrast(c)
        elif biased:
            name = name_in("field", c, self._n)
            yield (
                f"intensities rise smoothly by {self.values[name]:.1f} standard "
                f"deviations across the head, beside those expected{self._met(name)}. "
                "Correct its bias field."
            )
        if self.is_unlike("texture", c):
            yield self._of_texture(self.textures[c])

    def _of_contrast(self, c):
        correlation, histogram = (
            name_in(name, c, self._n) for name in ("correlation", "histogram")
        )
        return (
            "its intensities go with what is expected at each place by "
            f"r = {-self.values[correlation]:.2f}{self._met(correlation)}, and their "
            f"histogram differs by {self.values[histogram]:.2f} standard deviations"
            f"{self._met(histogram)}. Is it another contrast?"
        )

    @staticmethod
    def _of_texture(ratio):
        if ratio > 1:
            return (
                f"neighbouring voxels differ {ratio:.1f} times as much as in training. "
                "Is it another contrast, or noisier?"
            )
        return (
            f"neighbouring voxels differ {ratio:.2f} times as much as in training. Has "
            "it been smoothed, or resampled from coarser voxels?"
        )

    def _met(self, name):
        """What was met in training, in words."""
        if name not in self.met:
            return ""
        low, high = self.met[name]
        if name.startswith("correlation"):
            return f" ({-high:.2f} to {-low:.2f} in training)"
        return f" (up to {high:.2g} in training)"


def _units_of(name):
    return _UNITS.get(name.rstrip(" 0123456789"), "")


def _shown(name, number):
    """A statistic as people know it: a ratio, and not its logarithm."""
    if _units_of(name) == "times":
        number = np.exp(number)
    sign = -1 if name.startswith("correlation") else 1
    return round(float(sign * number), 3)


def _by(sizes):
    return " x ".join(f"{size:.3g}" for size in sizes)
