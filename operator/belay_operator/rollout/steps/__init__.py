"""One file per step kind, behind the protocol in `step.py`."""
