"""`prometheus`: a number that a Prometheus server, or what speaks as one, works out of what others measure."""

from typing import Annotated, ClassVar

from pydantic import Field

from belay_api.code import ObjectName
from belay_api.model import Model, exactly_one, rule, rules
from belay_api.rollout.sources import promql
from belay_api.rollout.sources.unit import Unit
from belay_api.units import Duration, duration_default

_NAMES = "|".join(promql.NAMES)
_TEMPLATE = r"'^([^{]|[{][^{]|[{][{] *(" + _NAMES + r") *[}][}])*$'"
_LISTED = ", ".join("{{" + name + "}}" for name in promql.NAMES)


class KeyRef(Model):
    """One key of a ConfigMap or a Secret of the rollout's namespace."""

    name: ObjectName
    """Name of the object."""
    key: Annotated[str, Field(pattern=r"^[-._a-zA-Z0-9]+$", max_length=253)]
    """Key in it."""


@exactly_one("what stands elsewhere", "name one object")
class ValueFrom(Model):
    """Where a text stands: exactly one place, in the rollout's namespace."""

    config_map_key_ref: KeyRef | None = None
    """A key of a ConfigMap."""
    secret_key_ref: KeyRef | None = None
    """A key of a Secret; the operator must be allowed to read it (`operator.readSecrets` of the chart)."""


class BasicAuth(Model):
    """A Secret of the type `kubernetes.io/basic-auth`."""

    name: ObjectName
    """Its name; its keys are `username` and `password`."""


@exactly_one("auth", "a server takes one")
class PrometheusAuth(Model):
    """How the operator shows who it is; exactly one. The Secret is in the rollout's namespace, and the operator must be
    allowed to read it (`operator.readSecrets` of the chart)."""

    bearer: KeyRef | None = None
    """A token."""
    basic: BasicAuth | None = None
    """A name and a password."""


class PrometheusSource(Model):
    """What a query says of a version, at looks that are `interval` apart."""

    model_config = {
        "json_schema_extra": rules(
            rule(
                "!has(self.address) || !has(self.addressFrom)",
                "prometheus has one address: set either address or addressFrom, or neither for the one that Belay is "
                "installed with",
            ),
            rule(
                f"self.query.matches({_TEMPLATE})",
                f"prometheus.query has a name in {{{{ }}}} that nothing stands for: known are {_LISTED}",
            ),
            rule(
                "!has(self.interval) || self.interval.matches('^([0-9.]+(h|m|s|ms))+$')"
                " && duration(self.interval) >= duration('1s')"
                " && duration(self.interval) <= duration('1h')",
                "prometheus.interval is 1s to 1h: at least twice what the server scrapes at; write e.g. 1m",
            ),
            rule(
                "!has(self.timeout) || self.timeout.matches('^([0-9.]+(m|s|ms))+$')"
                " && duration(self.timeout) >= duration('100ms')"
                " && duration(self.timeout) <= duration('1m')",
                "prometheus.timeout is 100ms to 1m; write e.g. 10s",
            ),
        )
    }

    compared: ClassVar[bool] = True

    address: Annotated[str, Field(pattern=r"^https?://[^/?#@ ]+(/[^?#@ ]*)?$", max_length=512)] | None = None
    """Such as `http://prometheus.monitoring:9090`, with the prefix that the API has, if any (`/prometheus`); without a
    name and a password, which `auth` is for. Unset, as `addressFrom`: the one that Belay is installed with."""
    address_from: ValueFrom | None = None
    """Where the address stands, for many rollouts that share one."""
    query: Annotated[str, Field(min_length=1, max_length=4096)]
    """PromQL that gives one series, a sum or the like. `{{version}}` is the version that is asked about (its RLPolicy's
    name): the candidate for a limit, and each side in turn for a comparison. `{{candidate}}`, `{{stable}}`,
    `{{namespace}}` and `{{rollout}}` are their names, `{{interval}}` is the time between looks: `sum(rate(
    orders_total{policy="{{version}}"}[{{interval}}]))`."""
    interval: Duration = duration_default("1m")
    """1s to 1h: the time between looks. No range in the query is longer: looks would tell of the same time again, and
    what happened once would count several times. At least twice the interval at which the server scrapes."""
    timeout: Duration = duration_default("10s")
    """100ms to 1m: how long an answer is waited for; later it is ProviderDown."""
    auth: PrometheusAuth | None = None
    """Unset: the server asks nobody who they are."""
    ca_from: ValueFrom | None = None
    """Certificates in PEM that the server's is checked against; unset: those that the operator's image has."""

    @property
    def unit(self) -> Unit | None:
        """What it is in: whatever its limit is written in."""
        return None

    @property
    def needs_stable(self) -> bool:
        """Whether the query names the stable version, so that the first version cannot be asked about."""
        return "stable" in promql.named(self.query)

    def check(self) -> None:
        """Look for what the schema cannot say. Raises: ValueError."""
        longest = promql.reach(self.asked(version="x", candidate="x", stable="x", namespace="x", rollout="x"))
        if longest > self.interval:
            raise ValueError(
                f"prometheus.query looks back over {promql.written(longest)} and is asked every "
                f"{promql.written(self.interval)}: what happened once would count several times. Write "
                f"[{{{{interval}}}}] in the query, or set interval: {promql.written(longest)}"
            )

    def asked(self, *, version: str, candidate: str, stable: str | None, namespace: str, rollout: str) -> str:
        """Return the query about one version. Raises: ValueError for a name that nothing stands for."""
        values = {
            "version": version,
            "candidate": candidate,
            "stable": stable or "",
            "namespace": namespace,
            "rollout": rollout,
            "interval": promql.written(self.interval),
        }
        return promql.render(self.query, values)
