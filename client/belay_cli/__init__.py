"""`kubectl belay`: what of Belay a person wants to see in a terminal. One file per command."""
