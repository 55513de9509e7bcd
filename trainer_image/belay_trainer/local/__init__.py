"""A whole RLTrainingJob on one machine, without Kubernetes: what `belay-trainer run` is made of.

rules.py      the API server's rules that hold here too
manifest.py   the YAML, read as kubectl and the API server would
folder.py     where everything of a run lies
seed.py       one seed's process: a training pod whose store and logbook are that folder
seeds.py      all of them, side by side, stopped and begun again
progress.py   how far each is: arithmetic and words
display.py    bars in a terminal, lines elsewhere
"""
