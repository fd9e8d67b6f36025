"""What a paper would say of the syntheses on a page."""

from ..jobs._evaluation import HOW_SCORED

CITATION = (
    "H. V. Nguyen, K. Zhou and R. Vemulapalli. Cross-domain synthesis of medical "
    "images using efficient location-sensitive deep network. MICCAI 2015, LNCS 9349, "
    "677-684. doi:10.1007/978-3-319-24553-9_83"
)
CHECKLIST = (
    "Mongan, Moy and Kahn, CLAIM, Radiol Artif Intell 2020, doi:10.1148/ryai.2020200029"
)


def methods_of(results, models, scores, versions) -> str:
    """A paragraph of methods: data, reference, partitions, model, training, evaluation.

    Parameters
    ----------
    results : list of dict
        As `inspect_subject` makes them.
    models : list of dict
        Each "first" as `inspect_network` makes it.
    scores : list of Row
    versions : dict of str to str
    """
    n_subjects = len({result["subject"] for result in results})
    targets, sources = (
        [*dict.fromkeys(name for r in results for name in r[key] if name)]
        for key in ("contrasts", "sources")
    )
    n_targets = max((len(result["contrasts"]) for result in results), default=1)
    unknown = f"[target contrast{'s' * (n_targets > 1)}]"
    said = [
        f"{' and '.join(targets) or unknown} "
        f"{'were' if n_targets > 1 else 'was'} synthesised from "
        f"{' and '.join(sources) or '[source contrast]'} for {n_subjects} "
        f"subject{'s' * (n_subjects != 1)}."
    ]
    first = models[0]["first"]
    facts = first["facts"]
    decided = first["parameters"].get("normalization") == repr("auto")
    said += [
        f"Brain: {facts['brain']}. Intensities were normalised by "
        f"{facts['normalisation']}"
        + ", as training subjects held back decided" * decided
        + " for this model" * (decided and len(models) > 1)
        + f", at voxels of {facts['voxel size']}; places were taken {facts['places']}."
    ]
    if scores:
        said.append("The acquired scan was the reference standard.")
    if first["held_out"]:
        said.append("Each subject was predicted by a model trained on all others.")
    else:
        said.append("The model was trained before [on whom; not on these subjects?].")
    for model in models:
        said.append(_of_model(model["first"]))
    if scores:
        said.append(
            "SNR, PSNR and R2 were taken over the brain, SSIM over the box around it. "
            f"{HOW_SCORED}"
        )
        columns = "SNR {snr} dB, PSNR {psnr} dB, SSIM {ssim}, R2 {r2}"
        for row in scores:
            if row.subject is None:
                whose = ", ".join(filter(None, [row.model, row.contrast]))
                means = columns.format(**row.scores)
                of = f"(mean ± standard deviation of {row.n} subjects)"
                said.append(f"{whose}{': ' * bool(whose)}{means} {of}.")
    software = ", ".join(
        f"{name} {number}" for name, number in versions.items() if name != "on"
    )
    said.append(f"Software: {software}.")
    return " ".join(said)


def _of_model(network):
    """Architecture and training in a sentence."""
    facts = network["facts"]
    given = facts.get("each", facts.get("the first", facts["estimator"]))
    name = network["model"] or given
    said = name
    if "kind" in facts:
        said += f", a {facts['kind']} [1],"
    said += f" saw patches of {facts['patch']}"
    if facts["target patch"] != "1 voxel":
        said += (
            f", and predicted patches of {facts['target patch']}, which were averaged"
        )
    if "layers" in facts:
        said += f"; its layers have {facts['layers']} units"
    if "one for each of" in facts:
        said += f" in the first of the networks for {facts['one for each of']}"
    if "members" in facts:
        said += f"; {facts['members']} such networks were averaged"
    said += (
        f". It was trained on {facts['training voxels']} voxels of "
        f"{facts['training images']} subjects"
        + " (in the first fold)"
        * bool(network["held_out"])
    )
    if "epochs" in facts:
        said += f" for {facts['epochs'].replace(', ', ' epochs by ')}"
    if "learning rate" in facts:
        said += f" (learning rate {facts['learning rate']}; batches of "
        said += f"{facts['batch size']} voxels)"
    if facts["augmentation"] != "none":
        said += f"; {facts['augmentation']}"
    seed = network["parameters"].get("random_state")
    return f"{said} (random_state {seed})."
