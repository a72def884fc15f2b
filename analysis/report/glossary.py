"""The words of the page and of the documents, one sentence each."""

from __future__ import annotations

TERMS: dict[str, str] = {
    "recipe": (
        "One way to train: an optimizer with its radius rho, noise, penalty and other hyper-parameters."
    ),
    "replica": "One model, trained by a recipe on its own random subset of the training set.",
    "ensemble": "All replicas of one recipe.",
    "sweep": "All recipes and replicas of one spec, and the directory that holds them.",
    "subset seed": (
        "The number that draws which examples a replica is trained on; all recipes share the seeds."
    ),
    "member": "An example that a replica was trained on; the others are its non-members.",
    "reference": "The recipe that all others are compared with, by default plain SGD.",
    "membership inference": "An attack that asks of a model whether it was trained on an example.",
    "target": "The replica that is under attack; each replica is the target in turn.",
    "shadow model": (
        "A replica that an attack compares the target with; all other replicas of its recipe are."
    ),
    "LiRA": (
        "The likelihood-ratio attack: is the target's confidence more like that of models with the "
        "example or of models without it (Carlini et al. 2022)?"
    ),
    "RMIA": (
        "The robust membership inference attack: how many other examples does the example's likelihood "
        "ratio beat (Zarifzadeh et al. 2024)?"
    ),
    "AUC": "The chance that an attack ranks a member above a non-member; 0.5 is a guess.",
    "advantage": "Twice the balanced accuracy of an attack, minus 1; 0 is a guess, 1 is certainty.",
    "TPR at 0.1 % FPR": (
        "The share of members that an attack finds while it wrongly accuses one non-member in a thousand."
    ),
    "empirical epsilon": (
        "The least privacy loss, in the sense of differential privacy, that an attack proves."
    ),
    "memorization": (
        "How much more often models that were trained on an example get it right than models that were "
        "not (Feldman and Zhang 2020)."
    ),
    "influence": "How much more often models that were trained on one example get another one right.",
    "influence entropy": (
        "How evenly a prediction rests on the training examples; low for an atypical test example."
    ),
    "margin": "The log-odds of the true class: the confidence that LiRA works on.",
    "front": "The recipes that no other recipe beats in both accuracy and risk.",
    "rho": "The radius around the weights in which SAM looks for the worst loss.",
    "noise": "Random numbers that are added to the gradient; not differential privacy.",
}
