"""CloudEvents 1.0 over HTTP in the structured JSON form, with a bearer token and a signature where the Secret has keys.

Source: CloudEvents 1.0.2, JSON event format and HTTP protocol binding 3.2.
"""

from datetime import datetime

from belay_operator.notify.event import Event
from belay_operator.notify.formats.request import Incomplete, Request, address, encoded
from belay_operator.notify.receivers import Credentials, Receiver
from belay_operator.notify.signing import BadKey, keys_of, signed


def write(event: Event, receiver: Receiver, credentials: Credentials, now: datetime) -> Request:
    """See `request.Write`."""
    body = encoded(event)
    headers = {"Content-Type": "application/cloudevents+json; charset=utf-8"}
    if "token" in credentials.keys:
        headers["Authorization"] = f"Bearer {credentials.keys['token']}"
    if "signing-key" in credentials.keys:
        try:
            headers |= signed(event["id"], body, keys_of(credentials.keys["signing-key"]), now)
        except BadKey as error:
            raise Incomplete(f"Secret {receiver.secret}: {error}") from None
    return Request(address(receiver, credentials), body, headers)
