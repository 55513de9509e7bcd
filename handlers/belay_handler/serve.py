"""The serving container's entry: write TorchServe's files, then become TorchServe.

    python3 -m belay_handler.serve

The process is replaced by java, so that the kubelet's SIGTERM reaches the server itself.
"""

import importlib.util
import os
import sys
from pathlib import Path

from belay_handler import torchserve
from belay_handler.settings import Settings, SettingsError


def main() -> None:
    """Start the server; exits 3 when the environment is not a serving pod's."""
    try:
        settings = Settings.read(os.environ)
    except SettingsError as error:
        sys.exit(f"belay-handler: {error}")
    layout = torchserve.Layout.under(settings.work_dir)
    write(settings, layout)
    site_packages = _site_packages()
    environment = os.environ | {
        "LOG_LOCATION": str(layout.root),
        "METRICS_LOCATION": str(layout.root),
        "OMP_NUM_THREADS": "1",  # one forward pass is shorter than waking a second thread
        "MALLOC_ARENA_MAX": "2",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }
    os.chdir(layout.root)  # TorchServe writes into its working directory
    arguments = torchserve.command(layout, site_packages=site_packages)
    os.execve(arguments[0], arguments, environment)


def write(settings: Settings, layout: torchserve.Layout) -> None:
    """Write every file TorchServe reads."""
    files = {
        layout.config: torchserve.config_properties(settings, layout),
        layout.log4j: torchserve.LOG4J,
        layout.metrics: torchserve.METRICS_CONFIG,
        layout.model / "MAR-INF" / "MANIFEST.json": torchserve.model_manifest(settings.policy),
        layout.model / "model-config.yaml": torchserve.model_config(settings),
        layout.model / torchserve.HANDLER_FILE: torchserve.ENTRY,
    }
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _site_packages() -> Path:
    found = importlib.util.find_spec("ts")
    if found is None or found.origin is None:
        sys.exit("belay-handler: TorchServe is not installed: pip install torchserve==0.12.0")
    return Path(found.origin).parents[1]


if __name__ == "__main__":
    main()
