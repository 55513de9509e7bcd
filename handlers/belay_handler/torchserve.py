"""TorchServe's configuration as Belay needs it, as text; pure.

Every value departs from a default for a measured reason: the defaults are some 85 times slower than a bare server on a
small policy, answer a caller's mistake with 503, and stay healthy for five minutes while no worker is loaded.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from belay_api import names
from belay_handler.settings import Settings

HANDLER_FILE = "belay_entry.py"
JAVA = "/usr/bin/java"
PYTHON = "/usr/bin/python3"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the files lie; all under one writable folder."""

    root: Path
    store: Path  # TorchServe's model store; holds the one model folder
    model: Path
    config: Path
    log4j: Path
    metrics: Path
    slow: Path  # the slow answers; LOG4J names it as well

    @classmethod
    def under(cls, root: Path) -> "Layout":
        """Return the layout below `root`."""
        store = root / "store"
        return cls(
            root=root,
            store=store,
            model=store / names.MODEL_NAME,
            config=root / "config.properties",
            log4j=root / "log4j2.xml",
            metrics=root / "metrics.yaml",
            slow=root / "slow.log",
        )


def config_properties(settings: Settings, layout: Layout) -> str:
    """Return TorchServe's main configuration."""
    lines = {
        "inference_address": f"http://0.0.0.0:{settings.serving_port}",
        # Loopback only: management has no use here, and the metrics port answers without any authorisation.
        "management_address": f"http://127.0.0.1:{settings.management_port}",
        "metrics_address": f"http://127.0.0.1:{settings.frontend_metrics_port}",
        "grpc_inference_address": "127.0.0.1",
        "grpc_management_address": "127.0.0.1",
        "grpc_inference_port": settings.serving_port - 1010,
        "grpc_management_port": settings.serving_port - 1009,
        "disable_token_authorization": "true",  # each pod would make up its own keys, and probes could not pass
        "enable_model_api": "false",
        "allowed_urls": f"file://{layout.store}/.*",
        "metrics_mode": "prometheus",
        "metrics_config": layout.metrics,
        "disable_system_metrics": "true",
        "decode_input_request": "false",  # the handler parses: it can refuse one request and answer the others
        "job_queue_size": max(256, 4 * settings.batch_size),  # beyond it TorchServe answers 503 at once
        "model_store": layout.store,
        "default_workers_per_model": 1,
    }
    return "".join(f"{key}={value}\n" for key, value in lines.items())


def model_config(settings: Settings) -> str:
    """Return the model's configuration. Written as JSON, which is YAML."""
    return json.dumps(
        {
            "minWorkers": 1,
            "maxWorkers": 1,
            "batchSize": settings.batch_size,
            "maxBatchDelay": settings.batch_delay_ms,
            "responseTimeout": settings.response_timeout_s,
            "startupTimeout": 120,  # loading alone; the default, but no request's limit may ever become it
            "maxRetryTimeoutInSec": 5,  # after this /ping turns red; the default is 300
        }
    )


def model_manifest(policy: str) -> str:
    """Return the manifest of TorchServe's model folder."""
    return json.dumps(
        {
            "createdOn": "",
            "runtime": "python",
            "model": {
                "modelName": names.MODEL_NAME,
                "handler": HANDLER_FILE,
                "modelVersion": policy,
                "configFile": "model-config.yaml",
            },
            "archiverVersion": "0.12.0",
        }
    )


ENTRY = '''"""TorchServe imports a file of the model folder; the handler itself is installed beside the other rooms."""

from belay_handler.handler import PolicyHandler

_handler = PolicyHandler()


def handle(data, context):
    """Load at the first call, which carries no data; answer at every other."""
    if data is None:
        return _handler.initialize(context)
    return _handler.handle(data, context)
'''

# The least the exporter reads. The worker refuses to start without any model metric, so one stands here, unused.
METRICS_CONFIG = """dimensions: []
ts_metrics:
  counter:
    - {name: Requests5XX, unit: Count, dimensions: [Level, Hostname]}
    - {name: ts_queue_latency_microseconds, unit: Microseconds, dimensions: [model_name, model_version, hostname]}
model_metrics:
  gauge:
    - {name: PredictionTime, unit: ms, dimensions: [ModelName, Level]}
"""

# Access and metric lines cost more than the inference, so only those of slow answers are written (see `slow`).
# TorchServe puts each line together anyway; written one by one by the thread that answers, 30 % of slow answers under
# full load cost a third more of java's CPU, hence the second thread, which writes as many at once as there are. A probe
# is a GET, and an answer to nobody. MODEL_LOG stays: it carries the worker's tracebacks.
LOG4J = """<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="error">
  <Appenders>
    <Console name="console" target="SYSTEM_OUT"><PatternLayout pattern="%d{ISO8601} %-5p %c{1} %m%n"/></Console>
    <RollingFile name="slow" fileName="${env:LOG_LOCATION}/slow.log" filePattern="${env:LOG_LOCATION}/slow.%i.log"
                 immediateFlush="false">
      <PatternLayout pattern="%m%n"/>
      <SizeBasedTriggeringPolicy size="8 MB"/>
      <DefaultRolloverStrategy max="1"/>
    </RollingFile>
    <Async name="later" bufferSize="8192" blocking="true"><AppenderRef ref="slow"/></Async>
  </Appenders>
  <Loggers>
    <Logger name="ACCESS_LOG" level="info" additivity="false">
      <RegexFilter regex=".*&quot;P.* [0-9]{2,}" onMatch="ACCEPT" onMismatch="DENY"/>
      <AppenderRef ref="later"/>
    </Logger>
    <Logger name="TS_METRICS" level="off"/>
    <Logger name="MODEL_METRICS" level="off"/>
    <Logger name="MODEL_LOG" level="info"/>
    <Logger name="org.pytorch.serve" level="warn"/>
    <Root level="warn"><AppenderRef ref="console"/></Root>
  </Loggers>
</Configuration>
"""


def command(layout: Layout, *, site_packages: Path) -> list[str]:
    """Return the server's command line. Java runs as PID 1: TorchServe's own launchers ignore or lose SIGTERM."""
    return [
        JAVA,
        f"-Dmodel_server_home={site_packages}",
        "-Xms128m",
        "-Xmx256m",
        "-XX:+UseSerialGC",
        # With two CPUs or fewer the JDK falls back to one new thread per task, which costs a factor of five.
        "-Djava.util.concurrent.ForkJoinPool.common.parallelism=2",
        f"-Dlog4j.configurationFile=file://{layout.log4j}",
        "-cp",
        f"{site_packages}/ts/frontend/*",
        "org.pytorch.serve.ModelServer",
        "--python",
        PYTHON,
        "-f",
        str(layout.config),
        "-s",
        str(layout.store),
        "-ncs",  # before --models, which swallows every following word
        "--models",
        f"{names.MODEL_NAME}={names.MODEL_NAME}",
    ]
