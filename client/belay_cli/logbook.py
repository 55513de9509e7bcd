"""What is asked of the logbook, and its refusals as a person can act on them."""

import httpx
from pydantic import ValidationError

from belay_api.wire import API_PREFIX, Curves, ErrorAnswer
from belay_cli.errors import Failed

TIMEOUT_S = 30.0  # curves of a thousand seeds take the logbook seconds


class NothingTold(Failed):
    """The training has told the logbook nothing yet."""


def read_curves(client: httpx.Client, namespace: str, uid: str, *, metric: str, points: int) -> Curves:
    """Return how a metric of a training went.

    Raises: NothingTold; Failed for everything else that is no answer.
    """
    url = f"{API_PREFIX}/namespaces/{namespace}/curves/{uid}"
    try:
        answer = client.get(url, params={"metric": metric, "points": points}, timeout=TIMEOUT_S)
    except httpx.HTTPError as error:
        raise Failed(f"the logbook at {client.base_url} does not answer: {error}") from error
    try:
        if answer.is_success:
            return Curves.model_validate_json(answer.content)
        refusal = ErrorAnswer.model_validate_json(answer.content).error
    except ValidationError as error:
        raise Failed(
            f"what answers at {client.base_url} is no logbook of this version (HTTP {answer.status_code}): "
            "bring kubectl-belay and Belay to the same one"
        ) from error
    if refusal.status == httpx.codes.NOT_FOUND and refusal.field == "uid":
        raise NothingTold(refusal.message)
    if refusal.status == httpx.codes.NOT_FOUND and refusal.field is None:
        raise Failed("this logbook keeps no curves: it is of an earlier version; upgrade Belay")
    advice = ". Choose one with --metric." if refusal.field == "metric" else ""
    raise Failed(f"the logbook says: {refusal.message}{advice}")
