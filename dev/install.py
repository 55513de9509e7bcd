"""Install the developers' packages as pyproject.toml pins them, without building the project itself.

`pip install -e .[dev]` would need a build; the rooms run from the source tree, so only the pins are wanted.
"""

import argparse
import subprocess
import sys
import tomllib
from pathlib import Path

NO_WHEEL = {"gym"}


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
    """Install the pins of an extra into this interpreter's environment, or those alone into a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("extra", nargs="?", default="dev")
    parser.add_argument("--target", type=Path, help="a folder for the path of an image's Python; its own packages stay")
    parser.add_argument("--python-version", help="of that Python")
    options = parser.parse_args()
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
    wanted = set(pins(project["optional-dependencies"], options.extra))
    if options.target is None:
        install(*sorted({*project["dependencies"], *wanted}))
        return
    # pip takes no source for another Python than its own, so what has no wheel comes by itself: it is Python alone.
    sources = {one for one in wanted if one.split("==")[0] in NO_WHEEL}
    place = ("--no-deps", "--upgrade", "--target", str(options.target))
    install(*place, "--only-binary=:all:", "--python-version", options.python_version, *sorted(wanted - sources))
    install(*place, *sorted(sources))


def install(*arguments: str) -> None:
    """Call pip."""
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments], check=True
    )


if __name__ == "__main__":
    main()
