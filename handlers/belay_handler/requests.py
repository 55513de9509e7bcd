"""Read request bodies: each item is accepted or refused for itself, with a sentence that says what was wanted.

Pure. A request holds one `Prediction` or a list of them; TorchServe may hand over several requests at once.
"""

import json
from typing import Any

import numpy as np
import orjson
from pydantic import ValidationError

from belay_api.artifact import BoxSpace, DiscreteSpace, Space
from belay_api.wire import MAX_BATCH, Prediction


class BadInput(ValueError):
    """The caller sent something the policy cannot act on; answered with 400."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field  # e.g. `items[3].observation`


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

    def __init__(self, space: Space, *, stochastic: bool) -> None:
        self._space = space
        self._stochastic = stochastic
        if isinstance(space, BoxSpace):
            self._shape = tuple(space.shape)
            self.dtype = np.dtype(space.dtype)
        else:
            self._shape = ()
            self.dtype = np.dtype(np.int64)

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
        return prediction, self._numbers(prediction.observation, f"{path}observation")

    def gather(self, observations: list[np.ndarray], paths: list[str]) -> tuple[np.ndarray, dict[int, BadInput]]:
        """Return the batch of the space's dtype, and who in it is refused; a refused one's row is zero.

        Together, for checking one by one costs more than the network: only when the batch as a whole is not good is
        each looked at.

        Args:
            observations: From `read`, at least one.
            paths: Of each, as given to `read`.
        """
        try:
            return self._cast(np.array(observations), "observation"), {}
        except BadInput:
            batch = np.zeros((len(observations), *self._shape), self.dtype)
            refused = {}
            for index, (observation, path) in enumerate(zip(observations, paths, strict=True)):
                try:
                    batch[index] = self._cast(observation, f"{path}observation")
                except BadInput as error:
                    refused[index] = error
            return batch, refused

    def _numbers(self, value: Any, field: str) -> np.ndarray:
        try:
            seen = np.asarray(value)
        except (ValueError, OverflowError) as error:
            raise BadInput(f"{field} is ragged; wanted {self._wanted()}", field=field) from error
        if seen.dtype.kind not in "iuf":  # text, booleans, null, objects, integers beyond 64 bits
            raise BadInput(f"{field} holds something that is no number; wanted {self._wanted()}", field=field)
        if seen.shape != self._shape:
            raise BadInput(f"{field} has shape {list(seen.shape)}; wanted {self._wanted()}", field=field)
        return seen

    def _cast(self, seen: np.ndarray, field: str) -> np.ndarray:
        """Return numbers, of one observation or of a batch, in the space's dtype. Raises: BadInput."""
        if not np.isfinite(seen).all():
            raise BadInput(f"{field} holds NaN or infinity; wanted {self._wanted()}, all finite", field=field)
        with np.errstate(over="ignore", invalid="ignore"):
            cast = seen.astype(self.dtype, copy=False)
        if self.dtype.kind in "iu":
            if not np.array_equal(cast, seen):
                raise BadInput(f"{field} holds numbers that are no {self.dtype}; wanted {self._wanted()}", field=field)
        elif not np.isfinite(cast).all():
            raise BadInput(f"{field} holds numbers too large for {self.dtype}; wanted {self._wanted()}", field=field)
        if isinstance(self._space, DiscreteSpace):
            choice = cast - self._space.start
            if not ((choice >= 0) & (choice < self._space.n)).all():
                raise BadInput(f"{field} is {cast.tolist()}; wanted {self._wanted()}", field=field)
        return cast

    def _wanted(self) -> str:
        if isinstance(self._space, DiscreteSpace):
            return f"a whole number from {self._space.start} to {self._space.start + self._space.n - 1}"
        return f"numbers of shape {list(self._shape)} ({self._space})"


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
