"""Whom to tell: read once from the environment, as the chart wrote it; credentials are files, read anew for each try.

The Secret that a receiver names is mounted, so the operator needs no right to read Secrets, and what is rotated there
counts without a restart. The whole folder is optional to the kubelet: a missing Secret must not keep the operator from
starting.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, field_validator, model_validator

from belay_api.model import Model
from belay_api.words import did_you_mean
from belay_operator.notify.event import Event
from belay_operator.notify.told import REASONS
from belay_operator.notify.told.telling import Severity

ENV = "BELAY_NOTIFICATIONS"
FOLDER = Path("/var/run/belay-notifications")
URL_PATTERN = r"^https?://[^/?#@ ]+([/?][^#@ ]*)?$"
_DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"


class Format(StrEnum):
    """In which words a receiver is told."""

    CLOUDEVENTS = "cloudevents"
    SLACK = "slack"
    PAGERDUTY = "pagerduty"


class Receiver(Model):
    """One place that is told."""

    name: Annotated[str, Field(max_length=40, pattern=_DNS_LABEL)]
    """In metrics and the log."""
    format: Format = Format.CLOUDEVENTS
    """`cloudevents`, `slack` or `pagerduty`."""
    url: Annotated[str, Field(pattern=URL_PATTERN)] | None = None
    """Where to; unset: the Secret's key `url`, or PagerDuty's own."""
    secret: str | None = None
    """Name of the mounted Secret; unset: none."""
    severity: Severity = Severity.INFO
    """The least that is told."""
    reasons: list[str] = Field(default_factory=list)
    """What is told; empty: everything."""
    namespaces: list[str] = Field(default_factory=list)
    """Of which namespaces; empty: all."""

    @field_validator("reasons")
    @classmethod
    def _known(cls, reasons: list[str]) -> list[str]:
        for reason in reasons:
            if reason not in REASONS:
                raise ValueError(f"{reason!r} is never told; {did_you_mean(reason, REASONS)}")
        return reasons

    @model_validator(mode="after")
    def _has_somewhere_to_go(self) -> "Receiver":
        if self.format is Format.PAGERDUTY and self.secret is None:
            raise ValueError("PagerDuty wants the key routing-key of a Secret: name it in secret")
        if self.url is None and self.secret is None:
            raise ValueError("there is no address: give url, or in secret the name of a Secret with the key url")
        return self

    def wants(self, event: Event) -> bool:
        """Return whether this receiver is told of `event`."""
        data = event["data"]
        return (
            Severity(data["severity"]).rank >= self.severity.rank
            and (not self.reasons or data["reason"] in self.reasons)
            and (not self.namespaces or data["namespace"] in self.namespaces)
        )


@dataclass(frozen=True, slots=True)
class Credentials:
    """The keys of a receiver's Secret, by their names."""

    keys: Mapping[str, str]

    @classmethod
    def read(cls, receiver: Receiver, folder: Path = FOLDER) -> "Credentials":
        """Return what is mounted for `receiver` now; nothing where nothing is."""
        try:
            files = [path for path in (folder / receiver.name).iterdir() if path.is_file()]  # `..data` is a folder
            return cls({path.name: path.read_text().strip() for path in files})
        except (OSError, UnicodeDecodeError):  # not mounted, or swapped under our hands: the next try sees the new one
            return cls({})


def read_receivers(env: Mapping[str, str]) -> tuple[Receiver, ...]:
    """Return the receivers of the environment. Raises: ValueError, with the receiver and its field."""
    text = env.get(ENV) or "[]"
    try:
        parts = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{ENV}: wanted a JSON list of receivers: {error}") from None
    found: list[Receiver] = []
    for part in parts if isinstance(parts, list) else [parts]:
        name = part.get("name", f"number {len(found) + 1}") if isinstance(part, dict) else f"number {len(found) + 1}"
        try:
            found.append(Receiver.model_validate(part))
        except ValidationError as error:
            raise ValueError(f"{ENV}: receiver {name}: {_sentence(error)}") from None
    twice = sorted({one.name for one in found if [each.name for each in found].count(one.name) > 1})
    if twice:
        raise ValueError(f"{ENV}: two receivers are called {twice[0]}: give each a name of its own")
    return tuple(found)


def _sentence(error: ValidationError) -> str:
    said = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in said["loc"])
    return f"{where}: {said['msg']}" if where else said["msg"]
