"""How each sort of receiver is told: one file a format, pure. A further one is a file and a line here."""

from belay_operator.notify.formats import cloudevents, pagerduty, slack
from belay_operator.notify.formats.request import Write
from belay_operator.notify.receivers import Format

WRITES: dict[Format, Write] = {
    Format.CLOUDEVENTS: cloudevents.write,
    Format.SLACK: slack.write,
    Format.PAGERDUTY: pagerduty.write,
}
"""By format."""
