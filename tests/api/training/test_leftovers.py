"""What a deleted training left at a real logbook, by the word of a real API server."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from kubernetes.aio import config
from kubernetes.aio.client.configuration import Configuration
from tests.api.engine.kube import Kube, eventually
from tests.unit.logbook.support import Process
from tests.unit.training.test_leftovers import save
from tests.world import SETTINGS

from belay_cluster.api import Api
from belay_operator.engine.cache import Cache
from belay_operator.engine.client import Client
from belay_operator.engine.pollers import CachePollerContext
from belay_operator.training.leftovers import Leftovers

GONE = "11111111-of-a-job-that-was-deleted"
TRAINING = {
    "apiVersion": "belay.dev/v1alpha1",
    "kind": "RLTrainingJob",
    "metadata": {"name": "cartpole"},
    "spec": {"environment": {"id": "CartPole-v1"}, "algorithm": {"ppo": {}}, "budget": {"steps": 1000}},
}


@pytest.mark.asyncio
async def test_a_job_that_only_the_api_server_knows_keeps_what_it_has_until_it_is_deleted(
    api: Api, kube: Kube, tmp_path: Path
) -> None:
    kube.apply(TRAINING)
    uid = (kube.get("rltrainingjob", "cartpole") or {})["metadata"]["uid"]
    process = Process(tmp_path).start()
    configuration = Configuration()
    await config.load_kube_config(str(api.kubeconfig), client_configuration=configuration)  # type: ignore[no-untyped-call]
    client = Client(configuration)
    logbook = process.client(kube.namespace)
    for one in (uid, GONE):
        save(logbook, one)

    def kept(one: str) -> Any:
        return logbook.get(f"/checkpoints/{one}/0").json()["items"]

    async with aiohttp.ClientSession() as http:
        settings = replace(SETTINGS, logbook_url=process.url)
        context = CachePollerContext(
            Cache(), settings, http, client, wake=lambda _: None, token_file=tmp_path / "no-token"
        )
        source = Leftovers(period=timedelta(seconds=0.05), grace=timedelta(0))
        task = asyncio.create_task(source.run(context))
        try:
            await _until(lambda: not kept(GONE))
            await asyncio.sleep(0.5)  # it looks again and again
            assert kept(uid)
            kube.run("delete", "rltrainingjob", "cartpole")
            await _until(lambda: not kept(uid))
        finally:
            task.cancel()
            await client.close()
            logbook.close()
            process.stop()


async def _until(true: Callable[[], Any]) -> None:
    await asyncio.to_thread(eventually, true, what="what the operator does", timeout_s=60)
