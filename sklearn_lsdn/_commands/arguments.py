"""From arguments to what the package's functions take."""

import os

from .options import NETWORKS

QUERY = ("source", "target", "space", "desc")
"""What chooses among the images of a dataset."""


def inputs(arguments):
    """Paths that no output may replace."""
    mask = [arguments.mask] if getattr(arguments, "mask", None) else []
    return sum([*arguments.source, *arguments.target], mask)


def find_images(arguments):
    """Put a dataset's files in the place of its contrasts' names.

    Returns
    -------
    query : dict or None
        The names of the contrasts, and the space and the desc that all sources have,
        None where they differ; None without a dataset.
    """
    if arguments.dataset is None:
        _check_plain(arguments)
        return None
    query = {name: getattr(arguments, name) for name in QUERY}
    query |= {name: sum(query[name], []) for name in ("source", "target")}
    return query | _find(arguments, query)


def find_images_of_model(arguments, synthesizer):
    """The same, where a model may remember what is not given."""
    if arguments.dataset is None:
        for name in ("source", "target"):
            if getattr(arguments, name) is None:
                raise ValueError(
                    f"There is no --{name}. Give the images of both contrasts, or the "
                    "folder of a BIDS dataset before the options."
                )
        _check_plain(arguments)
        return
    given = {name: getattr(arguments, name) for name in QUERY}
    for name in ("source", "target"):
        given[name] = given[name] and sum(given[name], [])
    _find(arguments, *completed(synthesizer, arguments.dataset, given))


def completed(synthesizer, dataset, given):
    """What to look for in a dataset, and how to undo what the model decides of it."""
    from ..jobs._bids import complete_query

    query = complete_query(synthesizer, dataset, **given)
    remembered = [
        name for name in ("space", "desc") if given[name] is None and query[name]
    ]
    if not remembered:
        return query, ""
    labels = " ".join(f"{name}-{query[name]}" for name in remembered)
    options = " and ".join(f'--{name} ""' for name in remembered)
    return query, f"The model was trained on {labels}; to take any, give {options}."


def _find(arguments, query, hint=""):
    """Put files in the place of names, and return the entities that sources share."""
    roles = "source", "target"
    sessions = find_sessions(arguments.dataset, query, roles, hint=hint)
    paths = [[str(scan.path) for scan in session.scans] for session in sessions]
    contrasts = [list(each) for each in zip(*paths, strict=True)]
    n_sources = len(query["source"])
    arguments.source, arguments.target = contrasts[:n_sources], contrasts[n_sources:]
    sources = [scan for session in sessions for scan in session.scans[:n_sources]]
    return {name: _shared(name, sources) for name in ("space", "desc")}


def _shared(entity, scans):
    """The value of an entity that all scans have, or None."""
    values = {scan.entities.get(entity) for scan in scans}
    return values.pop() if len(values) == 1 else None


def _check_plain(arguments):
    """Raise ValueError for what files given one by one do not go with."""
    refuse_entities(arguments, ("space", "desc"))
    refuse_folders(arguments)
    _refuse_own_targets(arguments)


def _refuse_own_targets(arguments):
    """Raise ValueError if all targets of a subject are among its sources."""
    contrasts = [*arguments.source, *arguments.target]
    for images in zip(*contrasts, strict=False):  # lengths are compared later
        paths = [os.path.realpath(image) for image in images]
        n_sources = len(arguments.source)
        if set(paths[n_sources:]) <= set(paths[:n_sources]):
            raise ValueError(
                f"{images[n_sources]} is among its own sources. Give the scan of "
                "another contrast as its target."
            )


def find_sessions(folder, query, roles, **options):
    """Sessions of a dataset with the contrasts in these roles; say what is left out."""
    from ..jobs import _bids as bids

    sessions, left_out = bids.find_sessions(
        folder,
        [name for role in roles for name in query[role]],
        space=query["space"],
        desc=query["desc"],
        **options,
    )
    for text in left_out:
        print(f"Left out: {text}", flush=True)
    return sessions


def refuse_entities(arguments, names):
    """Raise ValueError for options which files given one by one would ignore."""
    for name in names:
        if getattr(arguments, name) is not None:
            raise ValueError(
                f"--{name} chooses among the images of a BIDS dataset. Give its folder."
            )


def refuse_folders(arguments):
    """Raise ValueError for a dataset's folder in a place where images are expected."""
    for path in sum([*arguments.source, *arguments.target], []):
        if os.path.isdir(path):
            raise ValueError(
                f"{path} is a folder where images were expected. A BIDS dataset goes "
                f"before the options: lsdn {arguments.command} {path} --source ..."
            )


def by_subject(contrasts):
    """One list a contrast -> one entry a subject."""
    lengths = [len(paths) for paths in contrasts]
    if len(set(lengths)) > 1:
        raise ValueError(
            f"The contrasts have {', '.join(map(str, lengths))} images. Give each "
            "contrast of every subject, in the same order."
        )
    if len(contrasts) == 1:
        return list(contrasts[0])
    return [list(images) for images in zip(*contrasts, strict=True)]


def make_synthesizer(arguments, model):
    """An unfitted synthesizer around the network of that name."""
    from .._regressors import networks as regressor
    from ..volumes import VolumeSynthesizer

    network = getattr(regressor, f"{model.upper()}Regressor")(
        tuple(_sizes(arguments, model)), sigma=arguments.sigma
    )
    if arguments.max_iter is not None:
        network.set_params(max_iter=arguments.max_iter)
    return VolumeSynthesizer(
        network,
        n_estimators=arguments.n_estimators,
        patch_size=arguments.patch_size,
        patch_scales=tuple(arguments.patch_scales),
        target_patch_size=arguments.target_patch_size,
        smoothing=arguments.smoothing,
        places=None if arguments.places == "none" else arguments.places,
        mask_img=arguments.mask,
        normalization=arguments.normalization,
        n_voxels=arguments.n_voxels,
        random_state=arguments.seed,
    )


def layers(arguments, model):
    """The paper's name of a network, such as LSDN [30-200-20-1]."""
    n_scales = len(arguments.patch_scales)
    n_features = arguments.patch_size**3 * n_scales * len(arguments.source)
    n_coordinates = 0 if model == "vdn" else 3
    n_outputs = arguments.target_patch_size**3 * len(arguments.target)
    sizes = _sizes(arguments, model)
    layers = [n_features + n_coordinates, *sizes, n_outputs]
    return f"{model.upper()} [{'-'.join(map(str, layers))}]"


def at_rest(synthesizer):
    """Without what belongs to this run and not to the model."""
    for part in (synthesizer, synthesizer.estimator_):
        names = part.get_params(deep=True)
        part.set_params(**{n: 0 for n in names if n.split("__")[-1] == "verbose"})
    return synthesizer.set_params(n_jobs=None, max_memory=None)


def _sizes(arguments, model):
    return arguments.hidden_layer_sizes or NETWORKS[model]
