"""From arguments to what the package's functions take."""

import os

from .options import NETWORKS


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
        refuse_entities(arguments, ("space", "desc"))
        refuse_folders(arguments)
        _refuse_own_targets(arguments)
        return None
    query = {
        "source": sum(arguments.source, []),
        "target": sum(arguments.target, []),
        "space": arguments.space,
        "desc": arguments.desc,
    }
    sessions = find_sessions(arguments.dataset, query, ("source", "target"))
    paths = [[str(scan.path) for scan in session.scans] for session in sessions]
    contrasts = [list(each) for each in zip(*paths, strict=True)]
    n_sources = len(query["source"])
    arguments.source, arguments.target = contrasts[:n_sources], contrasts[n_sources:]
    sources = [scan for session in sessions for scan in session.scans[:n_sources]]
    return query | {name: _shared(name, sources) for name in ("space", "desc")}


def _shared(entity, scans):
    """The value of an entity that all scans have, or None."""
    values = {scan.entities.get(entity) for scan in scans}
    return values.pop() if len(values) == 1 else None


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
