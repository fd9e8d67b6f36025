"""What an evaluation says: scores of methods on subjects held back."""

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
                values = [row[key] for row in rows]
                summary[model][f"{key}_mean"] = float(np.mean(values))
                summary[model][f"{key}_sd"] = float(np.std(values))
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
                    *(f"{snr:.2f}" for snr in _by_subject(of_model, "snr", subjects)),
                    _spread([each["snr"] for each in of_model], 2),
                    f"{mean['psnr_mean']:.2f}",
                    f"{mean['r2_mean']:.3f}",
                    *(f"{mean[key]:.1f}" for key in seconds),
                ]
            )
        if all("brain_ml" in record for record in self.records):
            brains = _by_subject(self.records, "brain_ml", subjects)
            cells = [*(f"{brain:.0f}" for brain in brains), _spread(brains, 0)]
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
                named = record["subject"] in text
                told[text if named else f"{record['subject']}: {text}"] = None
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
            self.records[i]["warnings"].append(str(doubt))
        try:
            warn_of({str(doubt): doubt for _, doubt in found}.values())
        except PairWarning as error:
            error.result = self.table()
            raise
        return self

    def to_dict(self) -> dict:
        """Give everything, for JSON.

        Returns
        -------
        content : dict
        """
        content = {"unit": "dB", "summary": self.summary(), "volumes": self.records}
        return content | {"warnings": self.warnings}


def _spread(values, digits):
    """Mean and standard deviation; of a single value, that."""
    text = f"{np.mean(values):.{digits}f}"
    return f"{text} +- {np.std(values):.{digits}f}" if len(values) > 1 else text


def _seconds(records):
    """Times that all records tell."""
    return [key for key in _TIMES if all(key in record for record in records)]


def _by_subject(records, key, subjects):
    """Mean over the volumes of each subject."""
    return [
        np.mean([record[key] for record in records if record["subject"] == subject])
        for subject in subjects
    ]
