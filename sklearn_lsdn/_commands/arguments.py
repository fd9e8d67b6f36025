"""From arguments to what the package's functions take."""

import os

from .options import QUALITIES

QUERY = ("source", "target", "space", "desc")
"""What chooses among the images of a dataset."""
_SHOWN = 5  # of the sessions without a mask


def inputs(arguments):
    """Paths that no output may replace."""
    masks = [mask for mask in arguments.masks or [] if mask]
    if arguments.mask_img not in (None, "mni152"):
        masks.append(arguments.mask_img)
    return [each for each in sum([*arguments.source, *arguments.target], masks) if each]


def find_images(arguments, missing_sources=False):
    """Put a dataset's files in the place of its contrasts' names, and find masks.

    With ``missing_sources``, sessions may lack sources, all but one.

    Afterwards ``mask_img`` is the mask of all subjects, and ``masks`` lists those of
    each; one of them or both are None.

    Returns
    -------
    query : dict or None
        What the model shall remember of the dataset; None without one.
    """
    if arguments.dataset is None:
        _check_plain(arguments)
        return None
    query = {name: getattr(arguments, name) for name in QUERY}
    query |= {name: sum(query[name], []) for name in ("source", "target")}
    query["may_lack"] = query["source"] if missing_sources else ()
    return _find(arguments, query)


def find_images_of_model(arguments, synthesizer):
    """The same, where a model may remember what is not given."""
    from ..jobs._bids_query import complete_query

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
    query, hint = complete_query(synthesizer, arguments.dataset, **given)
    _find(arguments, query, hint=hint)


def _find(arguments, query, **options):
    """Put files in the place of names, and return what is to be remembered of them."""
    from ..jobs._bids_query import query_to_remember

    sessions = find_with_masks(arguments, query, ("source", "target"), **options)
    paths = [[scan and str(scan.path) for scan in each.scans] for each in sessions]
    contrasts = [list(each) for each in zip(*paths, strict=True)]
    n_sources = len(query["source"])
    arguments.source, arguments.target = contrasts[:n_sources], contrasts[n_sources:]
    return query_to_remember(query, sessions, arguments.masks)


def _check_plain(arguments):
    """Raise ValueError for what files given one by one do not go with."""
    refuse_entities(arguments, ("space", "desc"))
    refuse_folders(arguments)
    _refuse_own_targets(arguments)
    find_masks(arguments)


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


def find_with_masks(arguments, query, roles, **options):
    """Sessions of ``arguments.dataset`` and their masks, as `find_images` has them."""
    folder = find_masks(arguments)
    has_own = query.get("mask_img") is not None and folder is None
    masks = False if has_own or arguments.mask_img else folder
    sessions = find_sessions(arguments.dataset, query, roles, masks=masks, **options)
    if masks is not False:
        masks = [session.mask for session in sessions]
        arguments.masks = masks if any(masks) else None
        _tell_of_masks(sessions, query.get("masks"))
    return sessions


def find_sessions(folder, query, roles, **options):
    """Sessions of a dataset with the contrasts in these roles; say what is left out."""
    from ..jobs import _bids as bids

    sessions, left_out = bids.find_sessions(
        folder,
        [name for role in roles for name in query[role]],
        space=query["space"],
        desc=query["desc"],
        may_lack=query.get("may_lack", ()),
        **options,
    )
    for text in left_out:
        print(f"Left out: {text}", flush=True)
    names = [name for role in roles for name in query[role]]
    for session in sessions:
        pairs = zip(names, session.scans, strict=False)
        if missing := [name for name, scan in pairs if scan is None]:
            print(f"Without {' and '.join(missing)}: {session.label}", flush=True)
    return sessions


def find_masks(arguments):
    """Tell the mask of all subjects from those of each.

    Returns
    -------
    folder : str or None
        Where to look for masks, if they are to be looked for in a folder of their own.
    """
    given = arguments.mask or []
    arguments.mask_img = arguments.masks = arguments.masks_folder = None
    folders = [path for path in given if os.path.isdir(path)]
    if arguments.dataset is None:
        if folders:
            raise ValueError(
                f"{folders[0]} is a folder. Give one mask for all subjects, or one for "
                "each in the order of the images; with BIDS_DIR, the folder of masks."
            )
        if len(given) > 1:
            arguments.masks = given
    elif len(given) > 1:
        raise ValueError(
            f"--mask lists {len(given)} masks. With BIDS_DIR, give one for all "
            "subjects, or the folder of masks, which are matched by their names."
        )
    if folders:
        arguments.masks_folder = folders[0]
    elif len(given) == 1:
        arguments.mask_img = given[0]
        arguments.masks_folder = os.path.dirname(given[0]) or "."
    return folders[0] if folders else None


def masks_of_each(arguments, n_subjects):
    """Masks for a model, which has one of all subjects no more.

    Returns
    -------
    masks : list or None
        One, or None, for each subject.
    """
    if arguments.mask_img == "mni152":
        raise ValueError(
            "--mask mni152 is for training. With a model, give a mask of each subject, "
            "or one in the space of all."
        )
    return [arguments.mask_img] * n_subjects if arguments.mask_img else arguments.masks


def align(arguments, folder, verbose):
    """Put aligned images in the place of those given."""
    from ..jobs._alignment import align_within

    n_sources = len(arguments.source)
    subjects = by_subject([*arguments.source, *arguments.target])
    if any(None in images for images in subjects):
        raise ValueError(
            "--register takes subjects who have all contrasts. Align the others by "
            "lsdn register first."
        )
    sources, targets = align_within(
        [images[:n_sources] for images in subjects],
        [images[n_sources:] for images in subjects],
        folder,
        verbose=verbose,
    )
    arguments.source = [list(images) for images in zip(*sources, strict=True)]
    arguments.target = [list(images) for images in zip(*targets, strict=True)]


def _tell_of_masks(sessions, expected):
    """Say who has no mask, if others have one or the training had."""
    lacking = [session.label for session in sessions if session.mask is None]
    if lacking and (expected or len(lacking) < len(sessions)):
        more = f" and {len(lacking) - _SHOWN} more" if len(lacking) > _SHOWN else ""
        print(
            f"Without a brain mask: {', '.join(lacking[:_SHOWN])}{more}. What differs "
            "from the background counts as brain; where skulls are on, give --mask.",
            flush=True,
        )


def refuse_entities(arguments, names):
    """Raise ValueError for options which files given one by one would ignore."""
    for name in names:
        if getattr(arguments, name) is not None:
            option = f"--{name.replace('_', '-')}"
            raise ValueError(
                f"{option} chooses among the images of a BIDS dataset. Give its folder."
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
    """One list a contrast -> one entry a subject; "none" says that it has no such."""
    lengths = [len(paths) for paths in contrasts]
    if len(set(lengths)) > 1:
        raise ValueError(
            f"The contrasts have {', '.join(map(str, lengths))} images. Give each "
            "contrast of every subject, in the same order."
        )
    if len(contrasts) == 1:
        return list(contrasts[0])
    there = [[None if p == "none" else p for p in paths] for paths in contrasts]
    return [list(images) for images in zip(*there, strict=True)]


def labels_of(arguments):
    """Whose each subject's images are, by the name of the first source there is."""
    from .._utils.names import subject_labels

    subjects = zip(*arguments.source, strict=True)
    firsts = [[p for p in paths if p not in (None, "none")] for paths in subjects]
    return subject_labels([paths[0] if paths else "none" for paths in firsts])


def make_synthesizer(arguments, model):
    """An unfitted synthesizer around the network of that name."""
    from .._regressors import networks as regressor
    from ..volumes import VolumeSynthesizer

    network = getattr(regressor, f"{model.upper()}Regressor")(
        tuple(arguments.hidden_layer_sizes), sigma=arguments.sigma
    )
    if arguments.max_iter is not None:
        network.set_params(max_iter=arguments.max_iter)
    quality = QUALITIES[arguments.quality]
    return VolumeSynthesizer(
        network,
        n_estimators=arguments.n_estimators or quality["n_estimators"],
        patch_size=arguments.patch_size,
        patch_scales=tuple(arguments.patch_scales or quality["patch_scales"]),
        target_patch_size=arguments.target_patch_size,
        smoothing=arguments.smoothing,
        places=None if arguments.places == "none" else arguments.places,
        neighbours="warped" if arguments.neighbours else None,
        mask_img=arguments.mask_img,
        normalization=arguments.normalization or quality["normalization"],
        n_voxels=arguments.n_voxels,
        missing_sources=arguments.missing_sources,
        random_state=arguments.seed,
    )


def learns_labels(arguments):
    """Whether targets are label images, as the user says, or else their names."""
    from ..volumes._labels import are_called_labels, are_labels

    if arguments.labels is not None:
        return arguments.labels
    if len(arguments.target) == 1:
        return are_labels(arguments.target[0])
    for images in arguments.target:
        if are_called_labels(images):
            raise ValueError(
                f"{images[0]} is a label image, by its name, and one of several "
                "targets. Labels are learned alone; where it is to be predicted as "
                "intensities, say --no-labels."
            )
    return False


def make_segmenter(arguments, model):
    """An unfitted segmenter around the network of that name."""
    from .._regressors import classifiers
    from ..volumes import VolumeSegmenter
    from ..volumes._segmenter import ALPHA

    _refuse_of_intensities(arguments)
    network = getattr(classifiers, f"{model.upper()}Classifier")(
        tuple(arguments.hidden_layer_sizes), sigma=arguments.sigma, alpha=ALPHA
    )
    if arguments.max_iter is not None:
        network.set_params(max_iter=arguments.max_iter)
    segmenter = VolumeSegmenter(
        network,
        patch_size=arguments.patch_size,
        places=None if arguments.places == "none" else arguments.places,
        mask_img=arguments.mask_img,
        normalization=arguments.normalization or "zscore",
        n_voxels=arguments.n_voxels,
        random_state=arguments.seed,
    )
    if arguments.patch_scales:
        segmenter.set_params(patch_scales=tuple(arguments.patch_scales))
    return segmenter


def _refuse_of_intensities(arguments):
    """Raise ValueError for options that labels leave no place for."""
    given = {
        "--neighbours": arguments.neighbours,
        "--smoothing": arguments.smoothing,
        "--n-estimators": (arguments.n_estimators or 1) > 1,
        "--quality best": arguments.quality == "best",
        "--register": arguments.register,
        "--missing-sources": arguments.missing_sources,
        "--normalization auto": arguments.normalization == "auto",
        "--target-patch-size": arguments.target_patch_size not in ("auto", 1),
    }
    for option in filter(given.get, given):
        aligned = "; images of a subject are aligned by lsdn register"
        raise ValueError(
            f"{option} is for targets of intensities, and these are labels. Leave it "
            f"out{aligned if option == '--register' else ''}."
        )


def title(arguments, model):
    """What to call a network in tables, such as LSDN 400-40."""
    return f"{model.upper()} {'-'.join(map(str, arguments.hidden_layer_sizes))}"


def at_rest(synthesizer):
    """Without what belongs to this run and not to the model."""
    for part in (synthesizer, synthesizer.estimator_):
        names = part.get_params(deep=True)
        part.set_params(**{n: 0 for n in names if n.split("__")[-1] == "verbose"})
    return synthesizer.set_params(n_jobs=None, max_memory=None)
