"""Simulator parameters that fit logged transitions.

`parameters.py` says what is searched, and where; `placing.py` puts an environment into the state of a logged
observation; `transitions.py` are the logged timesteps and `predictor.py` what the simulator says of them;
`least_squares.py` is the pure arithmetic of best values, their intervals and what the log cannot tell; `fit.py` goes
through it all, and `report.py` tells it.
"""
