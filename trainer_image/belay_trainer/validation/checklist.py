"""What should be known of a policy before it serves, in five categories, and what proves it here.

An item has evidence, or it counts for nothing: no item is ticked because nobody looked. What only people can know, such
as who is on call, is not among them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from belay_api.artifact import CRITIC_FILE, TRAINING_FILE, Manifest
from belay_api.reasons import Verdict
from belay_api.spaces import BoxSpace
from belay_trainer.export import CONFIG, ONNX, TORCHSCRIPT
from belay_trainer.served import Artifact
from belay_trainer.validation.checks.constraints import COUNT, RATE
from belay_trainer.validation.checks.performance import OVER_RANDOM, RETURN
from belay_trainer.validation.gates import GateResult

Proof = Callable[[Artifact, Sequence[GateResult]], str | None]
"""Returns the evidence in a sentence; None: there is none."""


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the checklist."""

    category: str
    claim: str
    evidence: str | None  # None: nothing here proves it


def checklist(artifact: Artifact, results: Sequence[GateResult]) -> list[Item]:
    """Return every item with its evidence, category by category."""
    return [Item(category, claim, proof(artifact, results)) for category, claim, proof in _ITEMS]


def _passed(kind: str, name: str | None = None) -> Proof:
    """Return the proof by gates: what they measured has passed, and there is something.

    Args:
        name: Of what was measured; None: everything of that kind.
    """

    def proof(artifact: Artifact, results: Sequence[GateResult]) -> str | None:
        found = [
            one
            for result in results
            if result.gate.kind == kind
            for one in result.measured.measurements
            if name in (None, one.name)
        ]
        if not found or any(one.verdict is not Verdict.PASS for one in found):
            return None
        return " ".join(one.message for one in found)

    return proof


def _told(tell: Callable[[Manifest], str | None]) -> Proof:
    """Return the proof by what the manifest, whose digest was checked, tells."""
    return lambda artifact, results: tell(artifact.manifest)


def _holds(*names: str) -> Proof:
    """Return the proof by files in the artifact."""

    def tell(manifest: Manifest) -> str | None:
        return f"It holds {' and '.join(names)}." if set(names) <= {one.path for one in manifest.files} else None

    return _told(tell)


def _measured_apart(manifest: Manifest) -> str | None:
    found = manifest.evaluation
    if found is None or (manifest.selection is None and manifest.imported is None):
        return None  # of an older trainer's, the evaluation is the one that chose
    return f"Mean return {found.mean:.4g} over {found.episodes} episodes from reset seed {found.first_seed} on."


def _bounded(manifest: Manifest) -> str | None:
    action = manifest.action
    if isinstance(action, BoxSpace) and None in (*action.low, *action.high):
        return None
    return f"Actions are {action}; the head names no other."


def _usual_outcomes(manifest: Manifest) -> str | None:
    found = manifest.outcomes
    return f"Known: {', '.join(sorted(found))}." if found else None


def _random_return(manifest: Manifest) -> str | None:
    known = manifest.outcomes.get("return")
    random = known.random if known is not None else None
    return None if random is None else f"Random actions return {random.mean:.4g} ({random.episodes} episodes)."


def _origin(manifest: Manifest) -> str | None:
    found = manifest.lineage
    return None if found is None else f"Seed {found.seed}, timestep {found.step}, configuration {found.config_hash}."


_ITEMS: tuple[tuple[str, str, Proof], ...] = (
    ("performance", "The mean return keeps a stated limit", _passed("performance", RETURN)),
    ("performance", "It is better than random actions", _passed("performance", OVER_RANDOM)),
    ("performance", "It was measured in episodes that chose nothing", _told(_measured_apart)),
    ("performance", "The network answers in time", _passed("latency")),
    ("safety", "Constraints are violated in few enough of all episodes", _passed("constraints", RATE)),
    ("safety", "Violations in the episodes played keep a stated limit", _passed("constraints", COUNT)),
    ("safety", "Rare starts are mastered", _passed("edgeCases")),
    ("safety", "No action lies outside declared bounds", _told(_bounded)),
    ("robustness", "Noise on observations costs little", _passed("robustness")),
    ("robustness", "An attack on observations costs little", _passed("worstCase")),
    ("robustness", "A world that behaves otherwise costs little", _passed("dynamics")),
    ("monitoring", "It is known what returns and lengths are usual", _told(_usual_outcomes)),
    ("monitoring", "It is known what random actions return", _told(_random_return)),
    ("monitoring", "A critic tells what to expect of a start", _holds(CRITIC_FILE)),
    ("operations", "Every byte is the one that was published", lambda artifact, results: f"Digest {artifact.digest}."),
    ("operations", "It is known what made it", _told(_origin)),
    ("operations", "The configuration is kept as text", _holds(CONFIG)),
    ("operations", "It can be trained on", _holds(TRAINING_FILE)),
    ("operations", "It can be served from two formats", _holds(ONNX, TORCHSCRIPT)),
)
