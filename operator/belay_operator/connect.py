"""Credentials: from the cluster we run in, else from KUBECONFIG; for our client and for kopf alike.

The `kubernetes` package reads both forms. In a cluster the token is read again as it is rotated; what an exec plugin of
a KUBECONFIG gives is read once, so such an operator on a laptop ends with its token. kopf is handed the result instead
of logging in by itself, so that both always speak as the same user to the same server.
"""

import os
from urllib.request import getproxies_environment

import kopf
from kubernetes.aio import config
from kubernetes.aio.client.configuration import Configuration

POOL = 64  # connections: as many as workers and pollers can use at once


class NoCluster(Exception):
    """There is no API server to talk to."""


async def load() -> Configuration:
    """Return how to reach the API server. Raises: NoCluster."""
    configuration = Configuration()
    context = os.environ.get("BELAY_CONTEXT") or None
    try:
        if "KUBERNETES_SERVICE_HOST" in os.environ and "KUBECONFIG" not in os.environ:
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            loading = config.load_kube_config(context=context, client_configuration=configuration)  # type: ignore[no-untyped-call]
            await loading
    except config.ConfigException as error:
        raise NoCluster(
            f"no way to the API server: {error}. Run in a cluster with a service account, or set KUBECONFIG."
        ) from error
    configuration.connection_pool_maxsize = POOL
    # aiohttp otherwise looks for ~/.netrc in a thread before every single call; proxies are named by the environment.
    configuration.client_session_kwargs = {"trust_env": bool(getproxies_environment())}
    return configuration


async def kopf_login(configuration: Configuration) -> kopf.ConnectionInfo:
    """Return the same credentials in kopf's form; asked again whenever the API server answers 401."""
    settings = await configuration.auth_settings()
    header = settings["BearerToken"]["value"] if "BearerToken" in settings else None
    scheme, _, token = (header or "").partition(" ")
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        ca_data=configuration.ca_cert_data,
        insecure=not configuration.verify_ssl,
        scheme=scheme or None,
        token=token or None,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
    )
