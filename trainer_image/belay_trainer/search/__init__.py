"""The search for settings, before the seeds train: what a pod of it does, and what belay-trainer run does as well.

spaces.py    what is tried where nobody says otherwise, and how a setting is drawn
journal.py   one journal of all workers: on a volume, on this machine, or at the logbook
study.py     the trials, through Optuna: whose turn it is, what came of each, which is best
trial.py     one short training
worker.py    a worker's life: trial after trial
"""
