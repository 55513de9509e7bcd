"""What a policy remembers of an episode, as text that travels with the client from one decision to the next.

    s1.<16 digits of the artifact's digest>.<base64url of its numbers, float32, little-endian, row-major>

So any pod of the version can answer any decision of the episode, and none keeps anything. To the client the text is
opaque; one that changes it spoils its own episode and nobody else's, which is why it is not signed.
"""

import base64
import binascii
import math
import re

import numpy as np

from belay_api.artifact import RecurrentState
from belay_handler.observing import BadInput

_FORM = re.compile(r"s1\.([0-9a-f]{16})\.([A-Za-z0-9_-]*={0,2})")
_DIGITS = 16  # of the digest: two versions with the same ones are not met by accident
_DTYPE = np.dtype("<f4")


class ForeignState(BadInput):
    """The state is another version's; answered with 409."""

    status = 409


class States:
    """Reads and writes the states of one version."""

    def __init__(self, digest: str, state: RecurrentState | None) -> None:
        """Set up.

        Args:
            digest: `sha256:<hex>` of the artifact.
            state: As its manifest has it; None: it remembers nothing.
        """
        self._version = digest.removeprefix("sha256:")[:_DIGITS]
        self._shape = tuple(state.shape) if state is not None else None
        self._bytes = _DTYPE.itemsize * math.prod(self._shape or (0,))

    @property
    def beginning(self) -> np.ndarray | None:
        """What is remembered as an episode begins; None: nothing ever is."""
        return None if self._shape is None else np.zeros(self._shape, np.float32)

    def read(self, sent: str, field: str) -> np.ndarray:
        """Return what was remembered. Raises: ForeignState, BadInput."""
        found = _FORM.fullmatch(sent)
        if found is None:
            raise BadInput(f"{field} is no state of a policy: {_ADVICE}", field=field)
        version, content = found.groups()
        if version != self._version or self._shape is None:
            raise ForeignState(
                f"{field} is of another version than the one that answers now (x-belay-policy says which), and cannot "
                "be read by it. Ask again without state: the episode then goes on as one that begins. To keep episodes "
                "on their version, send its x-belay-policy back with each request",
                field=field,
            )
        try:
            numbers = np.frombuffer(base64.b64decode(content, altchars=b"-_", validate=True), np.uint8)
        except binascii.Error as error:
            raise BadInput(f"{field} is cut off or changed ({error}): {_ADVICE}", field=field) from error
        if numbers.size != self._bytes:
            raise BadInput(f"{field} has {numbers.size} bytes, wanted {self._bytes}: {_ADVICE}", field=field)
        state = numbers.view(_DTYPE).reshape(self._shape)
        if not np.isfinite(state).all():
            raise BadInput(f"{field} holds NaN or infinity: {_ADVICE}", field=field)
        return state

    def borrow(self, sent: str) -> np.ndarray | None:
        """Return what any version remembered, as a memory of this one's; None: it is none, or has another form."""
        found = _FORM.fullmatch(sent)
        try:
            return None if found is None else self.read(f"s1.{self._version}.{found[2]}", "state")
        except BadInput:
            return None

    def write(self, state: np.ndarray) -> str:
        """Return the text of what is remembered."""
        return f"s1.{self._version}.{base64.urlsafe_b64encode(state.astype(_DTYPE, copy=False).tobytes()).decode()}"


_ADVICE = "send the one of the answer before unchanged, or none to begin an episode"
NONE = States("", None)
"""Of a policy that remembers nothing."""
