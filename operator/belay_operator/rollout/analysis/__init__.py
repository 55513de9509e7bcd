"""How a verdict on a candidate is reached: numbers in, numbers out, no I/O and no clock."""
