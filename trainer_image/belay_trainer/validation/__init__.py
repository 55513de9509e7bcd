"""Does a policy do what is asked of it before it serves? One file per kind of gate in `checks/`.

artifact, verified ─▶ exported network and head ─▶ episodes from starts nobody has used ─▶ measurements ─▶ verdicts

served.py (beside)   the policy as serving pods have it; every check acts through it
subject.py           it and its environment: what checks share
episodes.py          plays, start by start
bounds.py            between what a mean and a quantile lie
measurement.py       a number held to its limit: Pass, Fail or not enough episodes
gates.py             all gates, one after the other
report.py            what came of them, for people and programs
"""
