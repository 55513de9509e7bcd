"""Whose object it is that has the name of a child of ours.

Server-side apply takes what has the name. An HTTPRoute or a Service of a user's own is not in the cache, for it lacks
our label, so before a child is made the API server is asked who is there. What is not ours stays as it is.
"""

from collections.abc import Mapping
from typing import Any

from belay_api import names
from belay_operator.engine.plan import Manifest


def owned(manifest: Manifest) -> bool:
    """Return whether a manifest has a controller; a published policy has none, because it outlives its job."""
    return _controller(manifest) is not None


def is_foreign(live: Mapping[str, Any], manifest: Manifest) -> bool:
    """Return whether `live` is not the child that `manifest` describes.

    One with our label and without a controller was ours once, as after `kubectl delete --cascade=orphan`.
    """
    there = _controller(live)
    if there is None:
        return (live["metadata"].get("labels") or {}).get(names.MANAGED_BY_LABEL) != names.MANAGED_BY
    return bool(there != _controller(manifest))


def _controller(obj: Mapping[str, Any]) -> str | None:
    references = obj["metadata"].get("ownerReferences") or ()
    return next((reference["uid"] for reference in references if reference.get("controller")), None)
