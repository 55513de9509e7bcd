"""One Job that judges a policy, whoever asks: an RLPolicy that has it in its spec, or a step of a rollout.

    Question ──build──▶ ConfigMap, key, Job ──▶ pod of the trainer, `belay-trainer judge`
        └────────view────────┘ └ JobView: how far it is, its pod's last word
                └──standing──▶ what is so: a reason, a sentence, and what came of the question

What came of a question is kept by who asked it; its Job may go then. A kind of question is a file (`validation.py`,
`offline.py`) behind `kind.py`.
"""
