"""The table of scores: text, as it is shown."""

from dataclasses import dataclass

from ..jobs._evaluation import mean_and_deviation

_DIGITS = {"snr": 2, "psnr": 2, "ssim": 3, "r2": 3}


@dataclass(frozen=True)
class Row:
    """Scores of a subject, or of all.

    Parameters
    ----------
    model : str
    contrast : str
        Which target it is, where there are several.
    subject : str or None
        None where they are means and standard deviations over subjects.
    scores : dict of str to str
        "snr", "psnr", "ssim" and "r2".
    n : int, default=1
        Of how many subjects.
    """

    model: str
    contrast: str
    subject: str | None
    scores: dict[str, str]
    n: int = 1


def rows_of(results) -> list[Row]:
    """Scores of each model and contrast in turn, and their means where there are more.

    Parameters
    ----------
    results : list of dict
        As `inspect_subject` makes them.
    """
    several = any(len(result["scores"]) > 1 for result in results)
    groups, rows = {}, []
    for result in results:
        for i, scores in enumerate(result["scores"]):
            group = groups.setdefault((result["model"], i), [])
            contrast = result["labels"][i] if several else ""
            group.append((contrast, result["subject"], scores))
    for (model, _), group in groups.items():
        rows += [Row(model, *whose, _shown([scores])) for *whose, scores in group]
        if len(group) > 1:
            every = _shown([scores for *_, scores in group])
            rows.append(Row(model, group[0][0], None, every, len(group)))
    return rows


def _shown(scores):
    """Each kind of score or, of several, its mean and standard deviation."""
    shown = {}
    for name, digits in _DIGITS.items():
        values = [each[name] for each in scores if each[name] is not None]
        if values and len(scores) > 1:
            values = mean_and_deviation(values)
        shown[name] = " ± ".join(f"{value:.{digits}f}" for value in values) or "-"
    return shown
