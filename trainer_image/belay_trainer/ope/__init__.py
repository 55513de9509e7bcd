"""Off-policy evaluation: what a policy is worth, judged by episodes that another one was logged in.

`judge` asks estimators, one file each behind `estimator.Estimator`, and says what they found, or that the log cannot
tell. Numbers only, in numpy; the plot and the policy's runtime are imported where they are used. Guide:
`docs/guides/judge-offline.md`.
"""

from belay_trainer.ope.estimators import ESTIMATORS
from belay_trainer.ope.judge import Estimate, Judgement, judge
from belay_trainer.ope.logged import Logged
from belay_trainer.ope.target import TargetPolicy

__all__ = ["ESTIMATORS", "Estimate", "Judgement", "Logged", "TargetPolicy", "judge"]
