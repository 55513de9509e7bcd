"""TorchServe is told what the research found it must be told, and nothing is left for others to reach."""

import ast
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from belay_handler import torchserve
from belay_handler.serve import write
from belay_handler.settings import Settings, SettingsError

ENVIRONMENT = {
    "BELAY_POLICY": "cartpole-1",
    "BELAY_NAMESPACE": "team-a",
    "BELAY_ARTIFACT_DIGEST": "sha256:" + "0" * 64,
}


def properties(environment: dict[str, str], root: Path = Path("/tmp/belay")) -> dict[str, str]:
    text = torchserve.config_properties(Settings.read(environment), torchserve.Layout.under(root))
    return dict(line.split("=", 1) for line in text.splitlines())


def test_only_the_serving_port_is_open() -> None:
    addresses = {key: value for key, value in properties(ENVIRONMENT).items() if key.endswith("_address")}

    assert addresses.pop("inference_address") == "http://0.0.0.0:8080"
    assert len(addresses) == 4
    assert all("127.0.0.1" in value for value in addresses.values())
    assert properties(ENVIRONMENT)["enable_model_api"] == "false"
    assert properties(ENVIRONMENT)["allowed_urls"] == "file:///tmp/belay/store/.*"


def test_requests_are_parsed_by_the_handler() -> None:
    assert properties(ENVIRONMENT)["decode_input_request"] == "false"


def test_the_queue_holds_several_batches() -> None:
    assert properties(ENVIRONMENT)["job_queue_size"] == "256"
    assert properties(ENVIRONMENT | {"BELAY_BATCH_SIZE": "512"})["job_queue_size"] == "2048"


def test_the_batch_is_as_the_policy_says() -> None:
    told = {"BELAY_BATCH_SIZE": "32", "BELAY_BATCH_DELAY_MS": "3", "BELAY_RESPONSE_TIMEOUT_S": "5"}
    config = yaml.safe_load(torchserve.model_config(Settings.read(ENVIRONMENT | told)))

    assert (config["batchSize"], config["maxBatchDelay"], config["responseTimeout"]) == (32, 3, 5)
    assert config["minWorkers"] == config["maxWorkers"] == 1


def test_the_words_after_models_are_swallowed_so_it_comes_last() -> None:
    words = torchserve.command(torchserve.Layout.under(Path("/tmp/belay")), site_packages=Path("/site"))

    assert words[0] == "/usr/bin/java"
    assert words[-2:] == ["--models", "policy=policy"]
    assert "-ncs" in words[:-2]


def test_every_file_is_written_and_readable(tmp_path: Path) -> None:
    settings, layout = Settings.read(ENVIRONMENT), torchserve.Layout.under(tmp_path)
    write(settings, layout)
    write(settings, layout)  # a container that starts again finds them

    manifest = json.loads((layout.model / "MAR-INF" / "MANIFEST.json").read_text())
    entry = (layout.model / manifest["model"]["handler"]).read_text()
    assert "handle" in {node.name for node in ast.walk(ast.parse(entry)) if isinstance(node, ast.FunctionDef)}
    assert (layout.model / manifest["model"]["configFile"]).is_file()
    assert yaml.safe_load(layout.metrics.read_text())["model_metrics"]
    assert layout.log4j.read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("line", "written"),
    [
        ('/10.0.0.7:5122 "POST /predictions/policy HTTP/1.1" 200 137', True),
        ('/10.0.0.7:5122 "POST /predictions/policy HTTP/1.1" 503 10', True),
        ('/10.0.0.7:5122 "POST /predictions/policy HTTP/1.1" 200 9', False),
        ('/10.0.0.7:5122 "GET /predictions/policy HTTP/1.1" 200 137', False),
    ],
)
def test_the_access_log_has_slow_answers_and_no_probes(line: str, written: bool) -> None:
    log4j = ElementTree.fromstring(torchserve.LOG4J)
    (access,) = (one for one in log4j.iter("Logger") if one.get("name") == "ACCESS_LOG")
    pattern = access.find("RegexFilter").get("regex")
    assert (re.fullmatch(pattern, line) is not None) == written
    (file,) = log4j.iter("RollingFile")
    name = file.get("fileName").replace("${env:LOG_LOCATION}", "/tmp/belay")
    assert name == str(torchserve.Layout.under(Path("/tmp/belay")).slow)


@pytest.mark.parametrize("missing", ENVIRONMENT)
def test_a_missing_variable_is_named(missing: str) -> None:
    with pytest.raises(SettingsError, match=missing):
        Settings.read({key: value for key, value in ENVIRONMENT.items() if key != missing})


@pytest.mark.parametrize(("name", "value"), [("BELAY_BATCH_SIZE", "0"), ("BELAY_BATCH_DELAY_MS", "-1")])
def test_a_malformed_number_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is '{value}'"):
        Settings.read(ENVIRONMENT | {name: value})
