"""What a paper would say of the syntheses on a page."""

CITATION = (
    "H. V. Nguyen, K. Zhou and R. Vemulapalli. Cross-domain synthesis of medical "
    "images using efficient location-sensitive deep network. MICCAI 2015, LNCS 9349, "
    "677-684. doi:10.1007/978-3-319-24553-9_83"
)
CHECKLIST = (
    "Mongan, Moy and Kahn, CLAIM, Radiol Artif Intell 2020, doi:10.1148/ryai.2020200029"
)


def methods_of(results, models, summary, versions) -> str:
    """A paragraph of methods: data, reference, partitions, model, training, evaluation.

    Parameters
    ----------
    results : list of dict
        As `inspect_subject` makes them.
    models : list of dict
        Each "first" as `inspect_network` makes it.
    summary : list of list of str
        Rows of scores.
    versions : dict of str to str
    """
    subjects = list(dict.fromkeys(result["subject"] for result in results))
    contrasts = dict.fromkeys(name for r in results for name in r["contrasts"] if name)
    target = " and ".join(contrasts) or "the target contrast"
    said = [f"{target[0].upper()}{target[1:]} was synthesised for "]
    said[0] += f"{len(subjects)} subject(s)."
    first = models[0]["first"]
    facts = first["facts"]
    normaliser = facts["normalisation"]
    if first["parameters"].get("normalization") == repr("auto"):
        normaliser = (
            "z-scores or Nyul's landmarks, as training subjects held back decided"
        )
    said += [
        f"Brain: {facts['brain']}. Intensities were normalised by "
        f"{normaliser}, at voxels of {facts['voxel size']}; places were "
        f"taken {facts['places']}."
    ]
    if summary:
        said.append("The acquired scan was the reference standard.")
    if first["held_out"]:
        said.append(
            "Each subject was predicted by a model trained on all others; nothing was "
            "chosen by the subject held back."
        )
    else:
        said.append(
            "The model was trained before; whether its training had these subjects "
            "must be said here."
        )
    for model in models:
        said.append(_of_model(model["first"]))
    if summary:
        said.append(
            "Signal-to-noise ratio, PSNR, SSIM and R2 were computed over the brain in "
            "the units of the target scan."
        )
        columns = "SNR {} dB, PSNR {} dB, SSIM {}, R2 {}"
        for model, subject, *scores in summary:
            if subject.startswith("mean"):
                whose = f"{model}: " if model else ""
                said.append(f"{whose}{columns.format(*scores)} (mean ± sd).")
    software = ", ".join(
        f"{name} {number}" for name, number in versions.items() if name != "on"
    )
    said.append(f"Software: {software} [1].")
    return " ".join(said)


def _of_model(network):
    """Architecture and training in a sentence."""
    facts = network["facts"]
    given = facts.get("each", facts.get("the first", facts["estimator"]))
    name = network["model"] or given
    said = f"{name} saw patches of {facts['patch']}"
    if "layers" in facts:
        said += f"; its layers have {facts['layers']} units"
    if "one for each of" in facts:
        said += f" in the first of the networks for {facts['one for each of']}"
    if "members" in facts:
        said += f"; {facts['members']} such networks were averaged"
    said += (
        f". It was trained on {facts['training voxels']} voxels of "
        f"{facts['training images']} subjects"
    )
    if "epochs" in facts:
        said += f" for {facts['epochs'].replace(', ', ' epochs by ')}"
    seed = network["parameters"].get("random_state")
    return f"{said} (random_state {seed})."
