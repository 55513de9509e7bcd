"""An alert for PagerDuty's Events API v2. A situation opens one and its end resolves it, by the same key.

What happened once opens one that a person resolves. An event that comes twice has the same key, and opens nothing new.

Source: PagerDuty, Events API v2, "Send an alert event".
"""

from datetime import datetime

from belay_operator.notify.event import Event, State, situation_id
from belay_operator.notify.formats.request import Incomplete, Request, address, encoded
from belay_operator.notify.receivers import Credentials, Receiver

URL = "https://events.pagerduty.com/v2/enqueue"
SUMMARY_LIMIT = 1_024  # characters, by PagerDuty


def write(event: Event, receiver: Receiver, credentials: Credentials, now: datetime) -> Request:
    """See `request.Write`."""
    key = credentials.keys.get("routing-key")
    if not key:
        raise Incomplete(f"Secret {receiver.secret} is not there, or has no key routing-key")
    data = event["data"]
    alert = {
        "routing_key": key,
        "event_action": "resolve" if data["state"] == State.ENDED else "trigger",
        "dedup_key": situation_id(event),
        "payload": {
            "summary": f"{data['reason']} {data['kind']} {event['subject']}: {data['message']}"[:SUMMARY_LIMIT],
            "source": event["source"],
            "severity": data["severity"],
            "timestamp": event["time"],
            "component": event["subject"],
            "group": data["namespace"],
            "class": data["reason"],
            "custom_details": data,
        },
    }
    headers = {"Content-Type": "application/json; charset=utf-8"}
    return Request(address(receiver, credentials, URL), encoded(alert), headers)
