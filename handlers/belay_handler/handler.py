"""The TorchServe handler: loads the verified artifact, hands each batch to `server`, counts.

TorchServe imports this module in its worker process and uses the one class defined here. Nothing about requests or
policies is decided in this file.
"""

import logging
import os
import time
from datetime import UTC, datetime
from typing import Any

import httpx
import numpy as np

from belay_api.artifact import Manifest, verify_served
from belay_handler import exporter, frames
from belay_handler.acting import Actor
from belay_handler.critics import Critics, fetched_critic, own_critic
from belay_handler.meter import Meter
from belay_handler.networks import Network, load_network
from belay_handler.requests import Reader
from belay_handler.server import Answer, Ask, Server
from belay_handler.settings import Settings
from belay_handler.shadow import ShadowReporter, Teller
from belay_handler.slow import SlowLog
from belay_handler.starts import StartReporter
from belay_handler.states import States
from belay_handler.stores import LogbookStore
from belay_handler.torchserve import Layout
from belay_heads.observations import blank

CRITIC_PATIENCE_S = 20.0  # without a single byte; episodes are judged without meanwhile

_log = logging.getLogger(__name__)


class PolicyHandler:
    """What TorchServe calls."""

    def initialize(self, context: Any) -> None:
        """Load the policy; any failure here leaves the worker unready and says why in the log."""
        settings = Settings.read(os.environ)
        # Again: the volume outlived the init container.
        manifest = verify_served(settings.artifact_dir, wanted=settings.digest)
        actor = Actor(manifest, load_network(manifest, settings.artifact_dir), np.random.default_rng())
        states = States(settings.digest, manifest.state)
        reader = Reader(manifest.observation, stochastic=actor.stochastic, masks=actor.masks, states=states)
        _warm_up(actor, manifest, settings.batch_size, state=states.beginning)
        starts = _start_reporter(settings)
        critics = _critics(settings, manifest)
        key_file = settings.receipt_key_file
        receipt_key = key_file.read_bytes() if key_file.is_file() else None
        self._server = Server(
            policy=settings.policy,
            namespace=settings.namespace,
            actor=actor,
            reader=reader,
            states=states,
            receipt_key=receipt_key,
            on_start=starts.add if starts else lambda receipt: None,
            foresee=critics.foresee,
            teller=_teller(settings, manifest, receipt_key),
        )
        if not key_file.is_file():
            _log.warning("%s is missing: no receipts are issued, so outcomes cannot be reported", key_file)
        frontend = httpx.Client(trust_env=False)
        slow = SlowLog(Layout.under(settings.work_dir).slow)
        self._meter = meter = Meter(lambda: exporter.read_frontend(frontend, settings.frontend_metrics_port), slow.read)
        meter.start()
        exporter.serve(
            settings.metrics_port,
            lambda: exporter.render(
                settings.policy, meter.read(), starts=(starts.reported, starts.dropped) if starts else (0, 0)
            ),
        )
        _quieten(context)
        frames.install(settings.policy)

    def handle(self, asked: list[Ask], context: object) -> list[Answer]:
        """Answer one batch of requests; `frames` reads and writes them."""
        began = time.perf_counter()
        answers = self._server.answer(asked, datetime.now(UTC))
        probes = sum(answer.probe for answer in answers)
        mirrors = sum(answer.mirror for answer in answers)
        errors = sum(answer.status >= 500 for answer in answers)
        seconds = time.perf_counter() - began
        requests = len(answers) - probes - mirrors
        self._meter.add(seconds, requests=requests, errors=errors, probes=probes, mirrors=mirrors)
        return answers


def _warm_up(actor: Actor, manifest: Manifest, largest: int, *, state: np.ndarray | None) -> None:
    """Run every batch size once: the first pass of each plans its memory, and no user should pay for that."""
    zero = blank(manifest.observation)
    anything = np.ones((largest, sum(actor.masks)), dtype=np.bool_) if actor.masks else None
    for size in range(1, largest + 1):
        batch, masks = np.stack([zero] * size), None if anything is None else anything[:size]
        if state is None:
            actor.act(batch, [True] * size, masks)
        else:
            actor.act_and_remember(batch, np.stack([state] * size), [True] * size, masks)


def _critics(settings: Settings, manifest: Manifest) -> Critics:
    """Return the critics this pod asks, its own among them; others are fetched from the built-in store."""
    own = settings.digest.removeprefix("sha256:")
    space, batch, url = manifest.observation, settings.batch_size, settings.logbook_url

    def fetch(baseline: str) -> Network | None:
        store = LogbookStore(
            url or "",
            settings.namespace,
            manifest_hex=baseline,
            token_file=settings.token_file,
            patience_s=CRITIC_PATIENCE_S,
        )
        return fetched_critic(store, baseline, space, batch=batch)

    critics = Critics(own, own_critic(manifest, settings.artifact_dir, batch=batch), fetch if url else None)
    critics.start()
    return critics


def _start_reporter(settings: Settings) -> StartReporter | None:
    if settings.logbook_url is None:
        return None
    reporter = StartReporter(settings.logbook_url, settings.namespace, settings.token_file)
    reporter.start()
    return reporter


def _teller(settings: Settings, manifest: Manifest, key: bytes | None) -> Teller | None:
    if settings.logbook_url is None:
        return None
    reporter = ShadowReporter(settings.logbook_url, settings.namespace, settings.token_file, key=key)
    reporter.start()
    return Teller(settings.policy, manifest.action, reporter)


def _quieten(context: Any) -> None:
    """Stop TorchServe's line per request and per metric: its Java side scans each with three patterns."""
    logging.getLogger().setLevel(logging.WARNING)
    if context.metrics is not None:
        context.metrics.add_time = lambda *args, **kwargs: None
