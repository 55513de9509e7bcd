"""What a command could not do, in words for the person at the terminal."""


class Failed(Exception):
    """The message says what was asked of whom, what came, and what to do."""


class Missing(Failed):
    """What was asked for is not there, and asking again does not bring it."""
