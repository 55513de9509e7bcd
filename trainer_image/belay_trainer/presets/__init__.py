"""What an algorithm runs with when its user says nothing, and how the user's words become Stable-Baselines3's.

One file per algorithm, by environment. They are a start, not a promise.
"""
