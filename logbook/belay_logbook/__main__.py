"""`python3 -m belay_logbook --data /data --listen 0.0.0.0:8600 --key-file keys.json`"""

import sys

from belay_logbook.serve import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
