"""What an evaluation says: scores of methods on subjects held back."""

import re
from dataclasses import dataclass, field

import numpy as np

from .._utils.doubts import warn_of
from ..exceptions import PairWarning
from ..volumes._doubts import doubt_of_score

HOW_SCORED = (
    "Each synthesis was brought to the units of its scan first, by that scan's own "
    "normalisation."
)
WHAT_COUNTS = (
    "SNR counts from the scan's own zero; R2 does not: 1 is perfect, 0 as good as the "
    f"scan's mean. {HOW_SCORED}"
)
_TIMES = {"fit_seconds": "fit (s)", "predict_seconds": "predict (s)"}


@dataclass
class Evaluation:
    """Scores of methods on subjects held back.

    Parameters
    ----------
    records : list of dict
        One for each method and volume: "model", "subject", "snr" and "psnr" in
        dB and "r2", the mean over target contrasts; "predict_seconds" and, where
        they were trained for this, "fit_seconds". It may have "brain_ml", the
        brain's volume in millilitres, and "warnings", a list of str.
    inspections : list
        What ``inspect`` of `leave_one_subject_out` said, in the same order.
    warnings : list of str
        What was doubtful in training, of whichever subjects.

    See Also
    --------
    leave_one_subject_out : Makes one.

    Examples
    --------
    >>> from sklearn_lsdn.jobs import Evaluation
    >>> record = dict(model="LSDN", subject="sub-01", snr=12.0, psnr=20.0, r2=0.75,
    ...               brain_ml=1300.0, fit_seconds=1.0, predict_seconds=0.1)
    >>> print(Evaluation([record]).table())
    SNR (dB)    sub-01  mean +- sd  PSNR (dB)  R2     fit (s)  predict (s)
    LSDN        12.00   12.00       20.00      0.750  1.0      0.1
    brain (ml)  1300    1300
    <BLANKLINE>
    SNR counts from the scan's own zero; R2 does not: 1 is perfect, 0 as good as ...
    """

    records: list
    inspections: list = field(default_factory=list)
    warnings: list = field(default_factory=list)

    def summary(self) -> dict:
        """Mean and standard deviation over volumes of each method's scores.

        The deviation is NumPy's, of n volumes and not of n - 1.

        Returns
        -------
        summary : dict of str to dict
            For each model "snr_mean", "snr_sd", "psnr_mean", "psnr_sd" in dB,
            "r2_mean", "r2_sd", and mean "fit_seconds", where there are any, and
            "predict_seconds".
        """
        summary = {}
        for model in dict.fromkeys(record["model"] for record in self.records):
            rows = [record for record in self.records if record["model"] == model]
            summary[model] = {}
            for key in ("snr", "psnr", "r2"):
                mean, deviation = mean_and_deviation([row[key] for row in rows])
                summary[model][f"{key}_mean"] = mean
                summary[model][f"{key}_sd"] = deviation
            for key in _seconds(rows):
                summary[model][key] = float(np.mean([row[key] for row in rows]))
        return summary

    def table(self) -> str:
        """Show a row for each method and a column for each subject.

        The brain's volume has a row of its own. What the numbers mean, and each
        warning, stand below.

        Returns
        -------
        table : str
        """
        subjects = list(dict.fromkeys(record["subject"] for record in self.records))
        seconds = _seconds(self.records)
        header = ["SNR (dB)", *subjects, "mean +- sd", "PSNR (dB)", "R2"]
        rows = [header + [_TIMES[key] for key in seconds]]
        for model, mean in self.summary().items():
            of_model = [each for each in self.records if each["model"] == model]
            rows.append(
                [
                    model,
                    *_cells(_by_subject(of_model, "snr", subjects), 2),
                    _spread([each["snr"] for each in of_model], 2),
                    f"{mean['psnr_mean']:.2f}",
                    f"{mean['r2_mean']:.3f}",
                    *(f"{mean[key]:.1f}" for key in seconds),
                ]
            )
        if self.records and all("brain_ml" in record for record in self.records):
            brains = _by_subject(self.records, "brain_ml", subjects)
            cells = [*_cells(brains, 0), _spread(brains, 0)]
            rows.append(["brain (ml)", *cells, *[""] * (2 + len(seconds))])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(
                cell.ljust(width) for cell, width in zip(row, widths, strict=True)
            ).rstrip()
            for row in rows
        ]
        return "\n".join([*lines, "", WHAT_COUNTS, *self._warnings()])

    def _warnings(self):
        """Each warning once, with its subject."""
        told = dict.fromkeys(self.warnings)
        for record in self.records:
            for text in record.get("warnings", []):
                told[_of_subject(record["subject"], text)] = None
        return told

    def doubts(self) -> list[tuple[int, PairWarning]]:
        """Find volumes predicted no better than by the mean, where those of others are.

        Returns
        -------
        doubts : list of (int, PairWarning)
            Its place among ``records``, and what to say of it: R2 is below 0, and the
            median of other subjects' above 0.3.
        """
        found = []
        for i, record in enumerate(self.records):
            others = [
                other["r2"]
                for other in self.records
                if other["model"] == record["model"]
                and other["subject"] != record["subject"]
            ]
            doubts = doubt_of_score(record["r2"], others, record["subject"])
            found += [(i, doubt) for doubt in doubts]
        return found

    def warn(self) -> "Evaluation":
        """Add what `doubts` finds to the records, and warn of it, of each once.

        Returns
        -------
        self : Evaluation

        Raises
        ------
        PairWarning
            Where such warnings are errors; it holds the table as ``result``.
        """
        found = self.doubts()
        for i, doubt in found:
            texts = self.records[i].setdefault("warnings", [])
            if str(doubt) not in texts:
                texts.append(str(doubt))
        try:
            warn_of({str(doubt): doubt for _, doubt in found}.values())
        except PairWarning as error:
            error.result = self.table()
            raise
        return self

    def to_dict(self) -> dict:
        """Give everything, for JSON: None for numbers that are not finite.

        Returns
        -------
        content : dict
        """
        content = {"unit": "dB", "summary": self.summary(), "volumes": self.records}
        return _finite(content | {"warnings": self.warnings})


def mean_and_deviation(values) -> tuple[float, float]:
    """NumPy's, of scores that may be infinite."""
    with np.errstate(invalid="ignore"):  # perfect predictions deviate by inf - inf
        return float(np.mean(values)), float(np.std(values))


def _spread(values, digits):
    """Mean and standard deviation; of a single value, that."""
    mean, deviation = (f"{each:.{digits}f}" for each in mean_and_deviation(values))
    return f"{mean} +- {deviation}" if len(values) > 1 else mean


def _seconds(records):
    """Times that all records tell."""
    return [key for key in _TIMES if all(key in record for record in records)]


def _by_subject(records, key, subjects):
    """Mean over the volumes of each subject who has some."""
    values = [[r[key] for r in records if r["subject"] == each] for each in subjects]
    return [np.mean(each) if each else None for each in values]


def _cells(values, digits):
    return ["-" if value is None else f"{value:.{digits}f}" for value in values]


def _of_subject(subject, text):
    """A warning with the subject's name, if it does not begin with what tells it."""
    name = rf"(?<![^\W_]){re.escape(subject)}(?![^\W_])"
    return text if re.search(name, text.partition(": ")[0]) else f"{subject}: {text}"


def _finite(content):
    """The same with None for numbers that JSON lacks."""
    match content:
        case dict():
            return {key: _finite(value) for key, value in content.items()}
        case list():
            return [*map(_finite, content)]
        case float() if not np.isfinite(content):
            return None
    return content
