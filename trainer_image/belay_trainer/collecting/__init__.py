"""Play policies in an environment and log what they do: episodes with propensities and costs, as a dataset.

Episode number n is a function of the collection's seed and n alone: which policy plays it, where it starts, what is
drawn. So it does not matter which process plays it, nor after how many others, and a collection that was cut goes on
with the bits that it would have had.
"""
