"""A message for a Slack incoming webhook; Mattermost, Rocket.Chat and Discord (`…/slack`) read it as well.

Source: Slack, "Sending messages using incoming webhooks" and "Formatting text": `&`, `<` and `>` are escaped.
"""

from datetime import datetime

from belay_operator.notify.event import Event, State
from belay_operator.notify.formats.request import Request, address, encoded
from belay_operator.notify.receivers import Credentials, Receiver
from belay_operator.notify.told.telling import Severity

_SIGNS = {Severity.INFO: ":white_circle:", Severity.WARNING: ":large_orange_circle:", Severity.ERROR: ":red_circle:"}


def write(event: Event, receiver: Receiver, credentials: Credentials, now: datetime) -> Request:
    """See `request.Write`."""
    data = event["data"]
    over = data["state"] == State.ENDED
    sign = ":white_check_mark:" if over else _SIGNS[Severity(data["severity"])]
    title = f"{data['reason']}{' is over' if over else ''}"
    text = f"{sign} *{title}* {data['kind']} `{event['subject']}`\n{_escaped(data['message'])}"
    headers = {"Content-Type": "application/json; charset=utf-8"}
    return Request(address(receiver, credentials), encoded({"text": text}), headers)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
