"""What an evaluation says: scores of methods on subjects held back."""

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Evaluation:
    """Scores of methods on subjects held back.

    Parameters
    ----------
    records : list of dict
        One for each method and volume: "model", "subject", "snr" and "psnr" in
        dB, the mean over target contrasts; "fit_seconds" and "predict_seconds".
    inspections : list
        What ``inspect`` of `leave_one_subject_out` said, in the same order.

    See Also
    --------
    leave_one_subject_out : Makes one.

    Examples
    --------
    >>> from sklearn_lsdn.jobs import Evaluation
    >>> record = dict(model="LSDN", subject="sub-01", snr=12.0, psnr=20.0,
    ...               fit_seconds=1.0, predict_seconds=0.1)
    >>> print(Evaluation([record]).table())
    SNR (dB)  sub-01  mean +- sd     PSNR (dB)  fit (s)  predict (s)
    LSDN      12.00   12.00 +- 0.00  20.00      1.0      0.1
    """

    records: list
    inspections: list = field(default_factory=list)

    def summary(self) -> dict:
        """Mean and standard deviation over volumes of each method's scores.

        Returns
        -------
        summary : dict of str to dict
            For each model "snr_mean", "snr_sd", "psnr_mean", "psnr_sd" in dB, and
            mean "fit_seconds" and "predict_seconds".
        """
        summary = {}
        for model in dict.fromkeys(record["model"] for record in self.records):
            rows = [record for record in self.records if record["model"] == model]
            column = {key: [row[key] for row in rows] for key in rows[0]}
            summary[model] = {
                "snr_mean": float(np.mean(column["snr"])),
                "snr_sd": float(np.std(column["snr"])),
                "psnr_mean": float(np.mean(column["psnr"])),
                "psnr_sd": float(np.std(column["psnr"])),
                "fit_seconds": float(np.mean(column["fit_seconds"])),
                "predict_seconds": float(np.mean(column["predict_seconds"])),
            }
        return summary

    def table(self) -> str:
        """Show a row for each method and a column for each subject.

        Returns
        -------
        table : str
        """
        subjects = list(dict.fromkeys(record["subject"] for record in self.records))
        header = ["SNR (dB)", *subjects, "mean +- sd", "PSNR (dB)", "fit (s)"]
        rows = [[*header, "predict (s)"]]
        for model, mean in self.summary().items():
            by_subject = [
                np.mean(
                    [
                        record["snr"]
                        for record in self.records
                        if (record["model"], record["subject"]) == (model, subject)
                    ]
                )
                for subject in subjects
            ]
            rows.append(
                [
                    model,
                    *(f"{snr:.2f}" for snr in by_subject),
                    f"{mean['snr_mean']:.2f} +- {mean['snr_sd']:.2f}",
                    f"{mean['psnr_mean']:.2f}",
                    f"{mean['fit_seconds']:.1f}",
                    f"{mean['predict_seconds']:.1f}",
                ]
            )
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(
                cell.ljust(width) for cell, width in zip(row, widths, strict=True)
            ).rstrip()
            for row in rows
        )

    def to_dict(self) -> dict:
        """Give everything, for JSON.

        Returns
        -------
        content : dict
        """
        return {"unit": "dB", "summary": self.summary(), "volumes": self.records}
