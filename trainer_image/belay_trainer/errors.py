"""How a training ends other than well; each error carries the exit code the Job's failure policy reads.

TrainerError
|- BadConfiguration   exit 3: the same for every seed and every retry, fails the job
|- Diverged           exit 4: repeats with the same seed, fails that seed
|- GivenUp            exit 4: as it was asked for, fails that seed; or a search of which nothing comes
|- Interrupted        exit 143: asked to stop; a checkpoint is saved, another pod goes on
|- OwnCodeFailed      exit 1: the user's own code raised something; may be the machine's fault, so tried again
|  |- AlgorithmFailed    the algorithm
|  `- EnvironmentFailed  the environment
|- Unreachable        exit 1: a package index or a repository does not answer; waited for, then worth another pod
`- StoreError         exit 1: worth another pod
   |- StoreUnavailable   does not answer now; waited for where it may be
   `- StoreRefused       answers, and will not take it
"""

from belay_api import names
from belay_api.findings import Finding

EXIT_GATES_FAILED = 6  # of commands: nothing went wrong, and the policy did not pass


class TrainerError(Exception):
    """The message is the report's message: which field, seen and wanted, what the reader can do."""

    exit_code = 1
    outcome = "Error"
    findings: tuple[Finding, ...] = ()
    """What the diagnosis found by then."""


class BadConfiguration(TrainerError):
    """Somebody asked for a training that cannot be run."""

    exit_code = names.EXIT_BAD_CONFIG
    outcome = "BadConfiguration"


class Diverged(TrainerError):
    """Losses, weights or returns are no longer numbers."""

    exit_code = names.EXIT_DIVERGED
    outcome = "Diverged"


class GivenUp(TrainerError):
    """The seed came to less than `evaluation.stopLoss` wants, or no trial of a search came to its end."""

    exit_code = names.EXIT_DIVERGED
    outcome = "GivenUp"


class Interrupted(TrainerError):
    """SIGTERM: a drain, a preemption, a suspend."""

    exit_code = names.EXIT_INTERRUPTED
    outcome = "Interrupted"


class OwnCodeFailed(TrainerError):
    """The user's own code raised an error, which is the cause; its traceback is shown."""


class AlgorithmFailed(OwnCodeFailed):
    """The user's own algorithm raised an error while it learned."""


class EnvironmentFailed(OwnCodeFailed):
    """The user's own environment raised an error while it was made or played."""

    def __init__(self, what: str, error: Exception) -> None:
        """Say `what` failed, of which task and where, and the error's own words."""
        self.what, self.error = what, error
        words = f"{type(error).__name__}: {error}".rstrip(".: \n")
        super().__init__(f"{what}: {words}. Its traceback says where to mend the environment.")


def own_error(error: BaseException) -> BaseException | None:
    """Return what the user's own code raised; None: the error comes from elsewhere."""
    return error.__cause__ if isinstance(error, OwnCodeFailed) else None


class Unreachable(TrainerError):
    """What `runtime` asks for lies where nobody answers now."""


class StoreError(TrainerError):
    """The store failed us."""


class StoreUnavailable(StoreError):
    """No answer, or an answer that asks for patience."""


class StoreRefused(StoreError):
    """An answer that another try would repeat."""
