"""Which Belay this is: no image has an installed distribution that could be asked."""

VERSION = "0.1.0"  # as in pyproject.toml and the chart
