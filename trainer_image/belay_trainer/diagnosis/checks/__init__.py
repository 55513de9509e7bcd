"""One file per thing that may be wrong."""
