"""A suite: algorithms times environments times seeds, trained alike on this machine and set side by side.

spec.py     the YAML, and the RLTrainingJob of each pair
run.py      all of them, one after the other, into folders that a later run goes on with
report.py   the tables, the pictures, and the same for programs
"""
