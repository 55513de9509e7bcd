"""`python3 -m belay_cli`, the same as `kubectl belay` where no `kubectl-belay` is installed."""

import sys

from belay_cli.main import main

sys.exit(main())
