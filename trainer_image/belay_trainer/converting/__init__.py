"""Logged episodes out of a pickle, the way most hand-written pipelines keep them, into Parquet.

pickles.py    arrays out of a pickle, of which nothing is run
layouts.py    how people lay episodes out in it
convert.py    the file that comes of it, held against the ordinary checks
"""
