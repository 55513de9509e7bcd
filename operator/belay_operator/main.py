"""The process: settings, logging, health port, election, signals. `python -m belay_operator.main`.

Exit status 0: asked to end. 1: something made going on impossible, the log says what; Kubernetes starts it again.
"""

import asyncio
import contextlib
import logging
import os
import resource
import signal
import sys
from collections.abc import Coroutine
from typing import Any

from belay_operator import connect, registry, settings, watch
from belay_operator.engine.client import Client, allow_deep_objects
from belay_operator.engine.election import Election
from belay_operator.engine.health import Health
from belay_operator.operate import Operator
from belay_operator.receipt_key import BadReceiptKey

log = logging.getLogger("belay_operator")


def main() -> None:
    """Run the operator and exit."""
    try:
        installation = settings.from_environment()
    except settings.BadSetting as error:
        sys.exit(str(error))
    logging.basicConfig(
        level=installation.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    watch.quiet()
    allow_deep_objects()
    allow_open_files()
    try:
        asyncio.run(_run(installation))
    except (connect.NoCluster, BadReceiptKey) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        pass


def allow_open_files() -> None:
    """Let this process open as many connections as the system allows.

    Each outcome under analysis and each pod that is scraped has one; container runtimes start a process with 1,024.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _run(installation: settings.Installation) -> None:
    configuration = await connect.load()
    client = Client(configuration, rate_per_s=installation.rate_per_s, burst=installation.burst)
    health = Health()
    sources = registry.sources(installation.receivers, installation.namespace)
    operator = Operator(client, installation, health, kinds=registry.kinds(), sources=sources)
    web = await health.serve(installation.port)
    log.info("health on port %d, API server %s", web.addresses[0][1], configuration.host)
    beat = asyncio.create_task(health.beat(), name="beat")
    try:
        if installation.terms is None:
            await operator.run()
        else:
            election = Election(
                client, namespace=installation.namespace, identity=installation.identity, terms=installation.terms
            )
            await _until_signal(election.lead(operator.run, lost=_lost))
    finally:
        beat.cancel()
        await web.cleanup()
        await client.close()


async def _until_signal(leading: Coroutine[Any, Any, None]) -> None:
    """Run `leading`; SIGTERM ends it. Once the watches run, the signals are theirs, and the end is an orderly one."""
    task = asyncio.create_task(leading)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _lost() -> None:
    # At once, without cleaning up: a write under way must not meet the next leader's.
    log.error("the Lease could not be renewed; ending")
    logging.shutdown()
    os._exit(1)


if __name__ == "__main__":
    main()
