"""The real operator process, with the kinds a test names in TEST_KIND_MODULES ("real": Belay's own)."""

import os

from belay_operator import main, registry

if __name__ == "__main__":
    modules = os.environ["TEST_KIND_MODULES"]
    if modules != "real":
        registry.KIND_MODULES = tuple(modules.split(","))
        registry.SOURCE_MODULES = ()
    main.main()
