"""Install the developers' packages as pyproject.toml pins them, without building the project itself.

`pip install -e .[dev]` would need a build; the rooms run from the source tree, so only the pins are wanted.
"""

import subprocess
import sys
import tomllib
from pathlib import Path


def pins(extras: dict[str, list[str]], name: str) -> list[str]:
    """Return the requirements of an extra, references to other extras of this project resolved."""
    found: list[str] = []
    for requirement in extras[name]:
        if requirement.startswith("belay-operator["):
            for other in requirement[len("belay-operator[") : -1].split(","):
                found += pins(extras, other.strip())
        else:
            found.append(requirement)
    return found


def main() -> None:
    """Install the pins of the extra named on the command line (dev) into this interpreter's environment."""
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
    name = sys.argv[1] if len(sys.argv) > 1 else "dev"
    wanted = sorted({*project["dependencies"], *pins(project["optional-dependencies"], name)})
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted], check=True
    )


if __name__ == "__main__":
    main()
