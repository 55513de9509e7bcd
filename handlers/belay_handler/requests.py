"""Read request bodies: each item is accepted or refused for itself, with a sentence that says what was wanted.

Pure. A request holds one `Prediction` or a list of them; TorchServe may hand over several requests at once.
"""

import json
from typing import Any

import numpy as np
import orjson
from pydantic import ValidationError

from belay_api.spaces import Space
from belay_api.wire import MAX_BATCH, Prediction
from belay_handler.observing import BadInput, numbers_of
from belay_handler.states import NONE, States
from belay_heads.masked import first_without_choice


def read_body(body: bytes | bytearray) -> Any:
    """Return the JSON value in `body`.

    NaN and Infinity, which are no JSON but which Python writes, are let through: the item that carries one is then
    refused alone and by name, where a strict parser would refuse its whole list. Raises: BadInput.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as strict:
        try:
            return json.loads(bytes(body))
        except (ValueError, RecursionError):
            raise BadInput(
                f'the body is no JSON: {strict}. Send {{"observation": [...]}} or a list of such objects'
            ) from strict


def check_list(items: list[Any]) -> None:
    """Raises: BadInput when a list body is empty or too long."""
    if not 1 <= len(items) <= MAX_BATCH:
        raise BadInput(f"the list has {len(items)} items: 1 to {MAX_BATCH} are taken at once")


class Reader:
    """Reads items for a policy with one observation space."""

    def __init__(self, space: Space, *, stochastic: bool, masks: tuple[int, ...] = (), states: States = NONE) -> None:
        """Set up.

        Args:
            masks: How many actions each choice has of which a mask says whether they are allowed; empty: none is taken.
            states: Reads what the policy remembers.
        """
        self._numbers = numbers_of(space)
        self._stochastic = stochastic
        self._masks = masks
        self._states = states

    def read(self, item: Any, *, path: str = "") -> tuple[Prediction, np.ndarray]:
        """Return the message and its observation as it came: numbers in the right shape, not yet known to be finite.

        Args:
            path: Where the item stands in the body, e.g. `items[3].`; empty for a single one.
        Raises: BadInput naming field, value seen and value wanted.
        """
        try:
            prediction = Prediction.model_validate(item, strict=True)
        except ValidationError as error:
            raise _as_bad_input(error, path) from error
        if not (prediction.deterministic or self._stochastic):
            raise BadInput(
                "deterministic is false, but this policy has no probabilities to sample from; leave it out",
                field=f"{path}deterministic",
            )
        return prediction, self._numbers.read(prediction.observation, f"{path}observation")

    def mask(self, prediction: Prediction, *, path: str = "") -> np.ndarray | None:
        """Return what is allowed, (outputs,) of booleans; None: the policy chooses among all actions.

        Raises: BadInput where there is a mask and should be none, or none and should be one, or one that fits nothing.
        """
        sent, field = prediction.mask, f"{path}mask"
        if not self._masks:
            if sent is not None:
                raise BadInput(f"{field} is set, but this policy was trained without masks; leave it out", field=field)
            return None
        width = sum(self._masks)
        wanted = f"a list of {width} zeros and ones, one for each action" + (
            f" of its choices of {list(self._masks)}" if len(self._masks) > 1 else ""
        )
        if sent is None:
            raise BadInput(
                f"{field} is missing: this policy chooses among the actions that are allowed now; wanted {wanted}",
                field=field,
            )
        if len(sent) != width or any(one not in (0, 1) for one in sent):
            raise BadInput(f"{field} is {_shortened(sent)}; wanted {wanted}", field=field)
        mask = np.array(sent, dtype=np.bool_)
        choice = first_without_choice(mask, self._masks)
        if choice is not None:
            of = f" of choice {choice}" if len(self._masks) > 1 else ""
            raise BadInput(f"{field} allows no action{of}: allow at least one", field=field)
        return mask

    def state(self, prediction: Prediction, *, path: str = "") -> np.ndarray | None:
        """Return what is remembered of the episode; None: the policy remembers nothing.

        Raises: BadInput where what was sent cannot be read, ForeignState where it is another version's.
        """
        if prediction.state is None:
            return self._states.beginning
        return self._states.read(prediction.state, f"{path}state")

    def gather(self, observations: list[np.ndarray], paths: list[str]) -> tuple[np.ndarray, dict[int, BadInput]]:
        """Return the batch of the space's dtype, and who in it is refused; a refused one's row is zero.

        Together, for checking one by one costs more than the network: only when the batch as a whole is not good is
        each looked at.

        Args:
            observations: From `read`, at least one.
            paths: Of each, as given to `read`.
        """
        try:
            return self._numbers.cast(np.array(observations), "observation"), {}
        except BadInput:
            batch = np.zeros((len(observations), *self._numbers.shape), self._numbers.dtype)
            refused = {}
            for index, (observation, path) in enumerate(zip(observations, paths, strict=True)):
                try:
                    batch[index] = self._numbers.cast(observation, f"{path}observation")
                except BadInput as error:
                    refused[index] = error
            return batch, refused


def _as_bad_input(error: ValidationError, path: str) -> BadInput:
    errors = error.errors()
    # A misspelt field comes first: it explains the one that is then missing.
    first = next((one for one in errors if one["type"] == "extra_forbidden"), errors[0])
    field = f"{path}{'.'.join(str(part) for part in first['loc'])}".rstrip(".")
    if first["type"] == "extra_forbidden":
        message = f"{field} is no field of a prediction; known are {', '.join(Prediction.model_fields)}"
    elif first["type"] == "missing":
        message = f"{field} is missing"
    else:
        message = f"{field or 'the body'}: {first['msg']}"
    return BadInput(message, field=field or None)


def _shortened(sent: list[Any]) -> str:
    return f"a list of {len(sent)}" if len(sent) > 16 else str(sent)
