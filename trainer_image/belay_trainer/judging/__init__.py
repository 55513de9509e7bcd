"""What a pod does that judges a policy: fetch it, ask, keep the report, leave the answer.

`belay-trainer validate` and `evaluate-offline` do the middle of it by hand. A kind of question is a file.
"""
