"""Act by a Belay policy from an application: episodes stay on one version, and there is always an action.

    from belay_client import Client

    with Client("http://gateway/predictions/cartpole", fallback_action=0) as client, client.episode() as episode:
        answer = episode.act(observation)        # answer.action, answer.policy, answer.fallback
        ...
        episode.report(return_=total, length=steps)

`act` never raises and never waits longer than the timeout: when the policy cannot answer, the answer is the fallback
action, `fallback` is True and `error` says why. `AsyncClient` is the same for asyncio.
"""

from belay_client.aio import AsyncClient, AsyncEpisode
from belay_client.core import Answer
from belay_client.credentials import ApiKey, Credentials, PodToken
from belay_client.sync import Client, Episode

__all__ = ["Answer", "ApiKey", "AsyncClient", "AsyncEpisode", "Client", "Credentials", "Episode", "PodToken"]
