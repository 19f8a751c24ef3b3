"""What a transfer-learning strategy is, as data: which stages are trained, when and how fast.

`tlkit.fit` interprets these rows; no strategy has code of its own.
"""

from dataclasses import dataclass, replace

from tlkit.errors import InputError

STAGES = ("block1", "block2", "block3", "block4", "block5")
EVERYTHING = (*STAGES, "head")


@dataclass(frozen=True)
class Phase:
    """A part of the training in which the same stages are trained throughout.

    Attributes:
        trained: names of the trained stages, "head" among them.
        share: part of the epochs, relative to the other phases' shares.
    """

    trained: tuple[str, ...]
    share: float = 1.0

    @property
    def only_head(self) -> bool:
        """Whether the whole backbone is frozen."""
        return self.trained == ("head",)


@dataclass(frozen=True)
class Strategy:
    """One way of using a backbone for a new task.

    Attributes:
        name: what to call it in code and tables.
        label: what the course's source assessments call it.
        weights: "pretrained" or "random": what the backbone starts from.
        phases: what is trained, in order.
        description: one sentence.
        rate_decay: factor on the learning rate for each stage further from the head.
    """

    name: str
    label: str
    weights: str
    phases: tuple[Phase, ...]
    description: str
    rate_decay: float = 1.0

    @property
    def trained(self) -> tuple[str, ...]:
        """Stages that are trained in any phase, the input's side first."""
        touched = {stage for phase in self.phases for stage in phase.trained}
        return tuple(stage for stage in EVERYTHING if stage in touched)


def _above(until: str) -> tuple[str, ...]:
    """Stages that are trained when the network is frozen up to and including `until`."""
    return EVERYTHING[EVERYTHING.index(until) + 1 :]


STRATEGIES = {
    strategy.name: strategy
    for strategy in (
        Strategy(
            "scratch",
            "training from scratch",
            "random",
            (Phase(EVERYTHING),),
            "Every weight starts random and is trained on the target data alone.",
        ),
        Strategy(
            "feature_extraction",
            "shallow fine-tuning, ConvNet as fixed feature extractor",
            "pretrained",
            (Phase(_above("block5")),),
            "The pretrained network stays as it is; only a new head is trained.",
        ),
        Strategy(
            "partial",
            "deep fine-tuning",
            "pretrained",
            (Phase(_above("block4")),),
            "The head and the stages nearest to it are trained, the last one by default.",
        ),
        Strategy(
            "full",
            "fine-tuning the ConvNet",
            "pretrained",
            (Phase(EVERYTHING),),
            "Every weight starts pretrained and is trained.",
        ),
        Strategy(
            "gradual",
            "gradual unfreezing",
            "pretrained",
            tuple(Phase(EVERYTHING[first:]) for first in range(len(STAGES), -1, -1)),
            "Head first, then one more stage at a time, towards the input (Howard & Ruder 2018).",
        ),
        Strategy(
            "discriminative",
            "discriminative learning rates",
            "pretrained",
            (Phase(EVERYTHING),),
            "Everything is trained, each stage 2.6 times slower than the next one towards the "
            "head (Howard & Ruder 2018).",
            rate_decay=1 / 2.6,
        ),
        Strategy(
            "lp_ft",
            "linear probe, then fine-tuning",
            "pretrained",
            (Phase(("head",)), Phase(EVERYTHING)),
            "The head alone for the first half, then everything (Kumar et al. 2022).",
        ),
        Strategy(
            "first_stage",
            "surgical fine-tuning of the first stage",
            "pretrained",
            (Phase(("block1", "head")),),
            "The stage next to the image and the head are trained (Lee et al. 2022).",
        ),
    )
}


def get_strategy(name: str, until: str | None = None) -> Strategy:
    """Look a strategy up, optionally with another cut for `partial`.

    Args:
        name: a key of `STRATEGIES`.
        until: for `partial` only: last frozen stage, "block1" to "block5"; "block4" if None.

    Raises:
        InputError: the strategy is unknown, or `until` does not go with it.

    Example:
        >>> get_strategy("partial", until="block3").trained
        ('block4', 'block5', 'head')
    """
    if name not in STRATEGIES:
        raise InputError(f"strategy={name!r} is unknown; allowed: {', '.join(STRATEGIES)}")
    strategy = STRATEGIES[name]
    if until is None:
        return strategy
    if name != "partial" or until not in STAGES:
        raise InputError(
            f"until={until!r} with strategy={name!r}: until goes with 'partial' and is one of "
            f"{', '.join(STAGES)}"
        )
    return replace(strategy, phases=(Phase(_above(until)),))


def allot_epochs(strategy: Strategy, epochs: int) -> list[tuple[Phase, int]]:
    """Divide epochs among a strategy's phases by their shares.

    With fewer epochs than phases the phases that get none are left out; the last one always runs.

    Example:
        >>> [count for phase, count in allot_epochs(STRATEGIES["gradual"], 10)]
        [1, 2, 2, 1, 2, 2]
    """
    total = sum(phase.share for phase in strategy.phases)
    allotted, passed, share = [], 0, 0.0
    for phase in strategy.phases:
        share += phase.share
        end = int(epochs * share / total + 1e-9)
        if end > passed:
            allotted.append((phase, end - passed))
            passed = end
    return allotted
