"""Answer a batch of requests by the serving protocol, version 1; knows nothing of TorchServe.

One forward pass serves every good item of every request in the batch; a bad one is answered by itself: 400, or 409
where what it remembers is another version's. The receipt proves the decision to the logbook, which hears of each
episode's start from `starts`. It names the rollout whose route the request came through, so that no rollout is judged
by another's episodes. Where the route names a baseline, the receipt of a first decision says what its critic foresaw,
and where the client says whose episode it is, it says that.

Where the route says that this version is the shadow of another, a request is a mirror: the gateway drops its answer. So
it starts no episode, proves nothing and counts as no request. What is decided about it is told to the logbook, as the
version that answers the caller tells it (`shadow`).
"""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import orjson

from belay_api.receipts import Foreseen, Receipt, sign
from belay_api.shadowing import ShadowStep, read_header
from belay_api.users import BadUser, read_headers
from belay_api.wire import MAX_BATCH, ErrorAnswer, ErrorBody, NotCompared, Prediction
from belay_handler.acting import Actor, NotFinite
from belay_handler.requests import BadInput, Reader, check_list, read_body
from belay_handler.shadow import ITEMS, Teller
from belay_handler.states import NONE, States

READY = b'{"ready":true}'
UNHEARD = b"{}"  # answers a mirror
LARGEST_ANSWER = 6_500_000  # bytes; over 6,553,500 TorchServe drops its worker, and with it everybody's requests
_ROLLOUT = re.compile(rb"[a-z0-9](?:[-.a-z0-9]{0,251}[a-z0-9])?")  # the name of a Kubernetes object
FORESEEN_AT_ONCE = 64  # first decisions in a batch of which a critic is asked; a list of more would wait for it
_BASELINE = re.compile(rb"[0-9a-f]{64}")

Foresee = Callable[[str, np.ndarray], Sequence[int | None]]
"""Whose critic, observations (batch, *observation) -> the level of each; must return at once and raise nothing."""


class Ask(NamedTuple):  # a tuple, because one is made per request
    """One request as it came."""

    body: bytes | bytearray | None  # None or empty: asks for readiness
    rollout: bytes | None = None  # value of the header x-belay-rollout; None: it was not sent
    baseline: bytes | None = None  # value of the header x-belay-baseline
    shadow: bytes | None = None  # value of the header x-belay-shadow
    request: bytes | None = None  # value of the header x-request-id
    user: bytes | None = None  # value of the header x-belay-user
    tens: bytes | None = None  # value of the header x-belay-user-tens
    ones: bytes | None = None  # value of the header x-belay-user-ones


@dataclass(slots=True)
class Answer:
    """What one request is answered."""

    status: int
    body: bytes  # JSON
    receipt: str | None = None  # for the header; of a list, its first item's
    probe: bool = False  # a readiness probe: counted nowhere
    mirror: bool = False  # nobody hears it: no request of a caller


@dataclass(slots=True)
class _Slot:
    """One item of a request on its way through the batch."""

    path: str  # where it stands in the body, e.g. `items[3].`; empty for a single one
    rollout: str | None = None  # whose route it came through; None: none's
    baseline: str | None = None  # whose critic is to be asked; None: nobody's
    shadow: ShadowStep | None = None  # who is whose shadow on the route; None: nobody
    mirror: bool = False  # this version is: nobody hears the answer
    user: int | None = None  # whose episode it is; None: the client did not say
    not_compared: NotCompared | None = None  # why it cannot be compared with the other side's
    foreseen: Foreseen | None = None  # what it said
    prediction: Prediction | None = None  # None: refused
    observation: np.ndarray | None = None
    mask: np.ndarray | None = None  # None: the policy takes none
    state: np.ndarray | None = None  # what is remembered of the episode; None: the policy remembers nothing
    result: dict[str, Any] = field(default_factory=dict)  # the answer as JSON
    status: int = 200

    def refuse(self, error: BadInput) -> None:
        """Answer an error, this item alone."""
        self.prediction, self.status = None, error.status
        self.result = _error(error.status, error.message, error.field)


@dataclass(slots=True)
class _Request:
    slots: list[_Slot]
    is_list: bool
    id: bytes | None = None  # the gateway's


class Server:
    """Serves one policy version."""

    def __init__(
        self,
        *,
        policy: str,
        namespace: str,
        actor: Actor,
        reader: Reader,
        receipt_key: bytes | None,
        on_start: Callable[[str], None],
        foresee: Foresee | None = None,
        states: States = NONE,
        teller: Teller | None = None,
    ) -> None:
        """Set up one version's server.

        Args:
            receipt_key: None: no receipts are issued.
            on_start: Told the receipt of each episode's first decision; must return at once.
            foresee: None: no critic is asked.
            states: Writes what the policy remembers.
            teller: Told of decisions in steps `shadow`; must return at once. None: nobody is told.
        """
        self._policy = policy
        self._namespace = namespace
        self._actor = actor
        self._reader = reader
        self._receipt_key = receipt_key
        self._on_start = on_start
        self._foresee = foresee
        self._states = states
        self._teller = teller

    def answer(self, asked: Sequence[Ask], at: datetime) -> list[Answer]:
        """Return one answer per request, in order.

        Args:
            at: Aware UTC; stamped into the receipts.
        """
        began = time.perf_counter()
        requests: list[_Request | None] = []
        room = MAX_BATCH  # for the items of all lists together: how long a batch takes must not be the callers' choice
        for ask in asked:
            request = self._read(ask, ask.body, room) if ask.body else None
            if request is not None:
                request.id = ask.request
            room -= len(request.slots) if request and request.is_list else 0
            requests.append(request)
        self._decide([slot for request in requests if request for slot in request.slots if slot.prediction], at)
        if self._teller is not None:
            self._tell([request for request in requests if request and request.slots[0].shadow], self._teller, began)
        return [self._finish(request) if request else _ready() for request in requests]

    def _route(self, ask: Ask) -> _Slot:
        """Return what the route says of a request."""
        rollout = _rollout(ask.rollout)
        shadow = read_header(ask.shadow) if rollout and ask.shadow else None
        if shadow is None or shadow.policy != self._policy:
            return _Slot("", rollout, _baseline(ask), shadow)
        return _Slot("", rollout, None, shadow, mirror=True)

    def _read(self, ask: Ask, body: bytes | bytearray, room: int) -> _Request:
        route = self._route(ask)
        try:
            route.user = _user(ask)
            value = read_body(body)
            if not isinstance(value, list):
                return _Request([self._slot(value, "", route)], is_list=False)
            check_list(value)
        except BadInput as error:
            slot = _like(route, "")
            slot.refuse(error)
            return _Request([slot], is_list=False)
        if len(value) > room:
            message = f"more than {MAX_BATCH} items came at once, which would take too long: send this list again"
            slot = _like(route, "")
            slot.status, slot.result = 503, _error(503, message)
            return _Request([slot], is_list=False)
        slots = [self._slot(item, f"items[{index}].", route) for index, item in enumerate(value)]
        return _Request(slots, is_list=True)

    def _slot(self, item: Any, path: str, route: _Slot) -> _Slot:
        slot = _like(route, path)
        try:
            prediction, slot.observation = self._reader.read(item, path=path)
            if prediction.mask is not None or self._actor.masks:
                slot.mask = self._reader.mask(prediction, path=path)
            if slot.mirror:
                slot.state = self._mirrored_state(prediction, slot)
            elif prediction.state is not None or self._actor.remembers:
                slot.state = self._reader.state(prediction, path=path)
            if not prediction.deterministic:
                slot.not_compared = NotCompared.SAMPLED
            slot.prediction = prediction
        except BadInput as error:
            slot.refuse(error)
        return slot

    def _mirrored_state(self, prediction: Prediction, slot: _Slot) -> np.ndarray | None:
        """Return the memory to decide a mirror from: that of the version which answers, where it fits this one.

        One that does not fit, or that version does not have, is no memory of the episode: then the decision is made,
        and not compared.
        """
        if not self._actor.remembers:
            return None
        if prediction.state is None:
            slot.not_compared = NotCompared.STATE if prediction.step else None
            return self._states.beginning
        borrowed = self._states.borrow(prediction.state)
        if borrowed is None:
            slot.not_compared = NotCompared.STATE
            return self._states.beginning
        return borrowed

    def _decide(self, slots: list[_Slot], at: datetime) -> None:
        if not slots:
            return
        observations = [slot.observation for slot in slots if slot.observation is not None]
        batch, refused = self._reader.gather(observations, [slot.path for slot in slots])
        deterministic = [slot.prediction.deterministic for slot in slots if slot.prediction]
        masks = np.stack([slot.mask for slot in slots if slot.mask is not None]) if self._actor.masks else None
        after: Sequence[np.ndarray | None] = [None] * len(slots)
        if self._actor.remembers:
            states = np.stack([slot.state for slot in slots if slot.state is not None])
            actions, after = self._actor.act_and_remember(batch, states, deterministic, masks)
        else:
            actions = self._actor.act(batch, deterministic, masks)
        for index, error in refused.items():
            slots[index].refuse(error)
        self._ask_critics(slots, batch)
        for slot, action, state in zip(slots, actions, after, strict=True):
            if slot.prediction is None:
                continue
            if isinstance(action, NotFinite):
                slot.status, slot.result = 500, _error(500, "the policy's network answered NaN or infinity here")
                continue
            slot.result = {"action": action, "policy": self._policy, "fallback": False}
            if receipt := self._receipt(slot.prediction, slot, at):
                slot.result["receipt"] = receipt
            if state is not None:
                slot.result["state"] = self._states.write(state)

    def _tell(self, requests: list[_Request], teller: Teller, began: float) -> None:
        """Tell what was decided about requests of a step `shadow`."""
        seconds = time.perf_counter() - began
        for request in requests:
            first = request.slots[0]
            if first.shadow is None or first.rollout is None or not teller.wants(request.id):
                continue
            for item, slot in enumerate(request.slots[:ITEMS]):
                teller.tell(
                    rollout=first.rollout,
                    step=first.shadow,
                    request=request.id,
                    item=item,
                    seconds=seconds,
                    status=slot.status,
                    episode=slot.prediction.episode if slot.prediction else None,
                    action=slot.result.get("action"),
                    not_compared=slot.not_compared,
                )

    def _ask_critics(self, slots: list[_Slot], batch: np.ndarray) -> None:
        """Let the critic of each baseline say what it foresees of the episodes that begin here."""
        if self._foresee is None or self._receipt_key is None:
            return
        first: dict[str, list[int]] = {}
        for index, slot in enumerate(slots):
            asked = slot.prediction
            if slot.baseline is not None and asked is not None and asked.episode is not None and not asked.step:
                first.setdefault(slot.baseline, []).append(index)
        for baseline, places in first.items():
            if len(places) > FORESEEN_AT_ONCE:
                continue
            for index, level in zip(places, self._foresee(baseline, batch[places]), strict=True):
                slots[index].foreseen = None if level is None else Foreseen(baseline, level)

    def _receipt(self, prediction: Prediction, slot: _Slot, at: datetime) -> str | None:
        if self._receipt_key is None or prediction.episode is None or slot.mirror:
            return None
        step = prediction.step or 0
        said = Receipt(
            self._namespace, self._policy, prediction.episode, step, at, slot.rollout, slot.foreseen, slot.user
        )
        token = sign(said, self._receipt_key)
        if step == 0:
            self._on_start(token)
        return token

    def _finish(self, request: _Request) -> Answer:
        slots = request.slots
        if slots[0].mirror:
            return Answer(200, UNHEARD, mirror=True)  # an error would count as one that a caller got
        # A list is answered 200 as soon as one item is: each of the others carries its own error in its place.
        status = min(slot.status for slot in slots) if request.is_list else slots[0].status
        body = orjson.dumps([slot.result for slot in slots] if request.is_list else slots[0].result)
        if len(body) > LARGEST_ANSWER:
            message = f"the answer has {len(body)} bytes, at most {LARGEST_ANSWER} are sent: send fewer items at once"
            return Answer(413, orjson.dumps(_error(413, message)))
        return Answer(status, body, slots[0].result.get("receipt"))


def _like(route: _Slot, path: str) -> _Slot:
    """Return a slot of the same route."""
    return _Slot(path, route.rollout, route.baseline, route.shadow, route.mirror, route.user)


def _rollout(header: bytes | None) -> str | None:
    """Return the rollout's name; whatever no rollout can be called did not come from a route."""
    return header.decode() if header and _ROLLOUT.fullmatch(header) else None


def _user(ask: Ask) -> int | None:
    """Return whose episode it is. Raises: BadInput: its user would be somebody else's number, or go by chance."""
    try:
        return read_headers(ask.user, ask.tens, ask.ones)
    except BadUser as error:
        raise BadInput(str(error)) from error


def _baseline(ask: Ask) -> str | None:
    """Return whose critic to ask: said by a route alone, and with it comes the rollout."""
    return ask.baseline.decode() if ask.rollout and ask.baseline and _BASELINE.fullmatch(ask.baseline) else None


def _ready() -> Answer:
    return Answer(200, READY, probe=True)


def _error(status: int, message: str, field: str | None = None) -> dict[str, Any]:
    return ErrorAnswer(error=ErrorBody(status=status, message=message, field=field)).dump()
