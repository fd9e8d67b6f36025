"""What a model remembers of the dataset that it was trained on."""

from .._regressors.roles import role_of
from ._bids import NONE, described

_LIKE = ("space", "desc")


def query_to_remember(query, sessions, masks) -> dict:
    """What makes other images like those of training.

    Parameters
    ----------
    query : dict
        Names of the contrasts: ``source`` and ``target``.
    sessions : list of Session
        Those of training, sources first.
    masks : list or None
        Of each session, as they were used.

    Returns
    -------
    query : dict
        With the ``space`` and ``desc`` that all sources share, None where they differ
        or are without desc; whether each session had a mask (``masks``); and whose
        they are (``subjects``).
    """
    sources = [s for each in sessions for s in each.scans[: len(query["source"])] if s]
    spaces, descs = ({s.entities.get(k, NONE) for s in sources} for k in _LIKE)
    desc = descs.pop() if len(descs) == 1 else NONE
    return {
        "source": query["source"],
        "target": query["target"],
        "space": spaces.pop() if len(spaces) == 1 else None,
        "desc": None if desc == NONE else desc,
        "masks": bool(masks) and all(masks),
        "subjects": list(dict.fromkeys(session.subject for session in sessions)),
    }


def complete_query(synthesizer, dataset, *, source, target, space, desc) -> tuple:
    """Fill in what is None by what the synthesizer was trained on.

    Parameters
    ----------
    synthesizer : VolumeSynthesizer
        A fitted one, which may remember the images of its training in
        ``bids_query_``.
    dataset : path-like
        Folder of the dataset to predict, for messages.
    source, target : list of str or None
        BIDS names of the contrasts.
    space, desc : str or None
        What these entities of the sources must be; ``""`` takes any.

    Returns
    -------
    query : dict
        Also whether to expect ``masks``, the model's own ``mask_img``, and which
        sources a session ``may_lack``.
    hint : str
        How to undo what the model decided of it; empty if nothing.

    Raises
    ------
    ValueError
        If the contrasts are neither given nor remembered, or not as many as the
        synthesizer has.
    """
    remembered = synthesizer.bids_query_ or {}
    given = {"source": source, "target": target, "space": space, "desc": desc}
    query = {k: remembered.get(k) if v is None else v for k, v in given.items()}
    numbers = {
        "source": synthesizer.n_contrasts_in_,
        "target": role_of(synthesizer).n_targets,
    }
    examples = {"source": "--source, such as T1w", "target": "--target, such as T2w"}
    if missing := [text for name, text in examples.items() if not query[name]]:
        raise ValueError(
            f"{dataset} is a folder, but the model was trained on plain files and "
            f"does not know what to look for. Give {', and '.join(missing)}."
        )
    for name, number in numbers.items():
        if len(query[name]) != number:
            raise ValueError(
                f"The model has {number} {name} contrast(s), but --{name} names "
                f"{len(query[name])}: {', '.join(query[name])}."
            )
    query |= {"masks": remembered.get("masks"), "mask_img": synthesizer.mask_img}
    any_will_do = synthesizer.preparation_.window.missing_sources
    query["may_lack"] = query["source"] if any_will_do else ()
    decided = [name for name in _LIKE if given[name] is None and query[name]]
    if not decided:
        return query, ""
    labels = " and ".join(described(name, query[name]) for name in decided)
    options = " and ".join(f'--{name} ""' for name in decided)
    hint = f"The model was trained on images {labels}; to take any, give {options}."
    return query, hint
