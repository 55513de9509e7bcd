"""What a wrong id, module, class or keyword raises while an environment is made or tried.

Anything else may be the machine's fault and is worth another pod.
"""

import gymnasium

USER_FAULTS = (
    gymnasium.error.Error, ImportError, TypeError, ValueError, AttributeError, LookupError, AssertionError,
    NotImplementedError,
)  # fmt: skip
