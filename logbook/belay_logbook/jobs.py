"""Which training job's a request is: a job is open to who shows its key, and to nobody else in its namespace.

Pods of a job that an earlier version made have no key, and must go on working. So a job is open to training pods
without a key until the first proof of its key is seen. Each pod sends one with its first request, so a job that has a
key is closed before it has a checkpoint. What somebody put there even before has no seal, and is not taken up.
"""

import sqlite3

from belay_api.names import PROOF_HEADER
from belay_api.wire import KeptJob, KeptJobs
from belay_logbook.auth import MAY, Action, Caller
from belay_logbook.db import Database
from belay_logbook.errors import Forbidden

_Job = tuple[str, str]  # namespace, uid


class Jobs:
    """The jobs that have a key."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._keyed: set[_Job] = set()  # of which a proof was seen by this process
        self._told: set[str] = set()  # namespaces with a job that is open

    async def close(self, caller: Caller, namespace: str) -> None:
        """Close the job whose key the caller has shown to everybody without it."""
        if caller.proof is None or (namespace, caller.proof.uid) in self._keyed:
            return
        job = (namespace, caller.proof.uid)
        await self._database.write(lambda c, _: c.execute("INSERT OR IGNORE INTO keyed_job VALUES (?, ?)", job))
        self._keyed.add(job)

    async def admit(self, caller: Caller, namespace: str, uid: str) -> None:
        """Refuse callers who are not of that job. Raises: Forbidden."""
        if caller.namespace is None:
            return
        if Action.CHECKPOINTS not in MAY[caller.role]:
            raise Forbidden(f"this is of training job {uid}, and {caller.name} is no training pod")
        if caller.proof is not None:
            if caller.proof.uid != uid:
                raise Forbidden(f"{caller.name} has the key of job {caller.proof.uid}, and this is of job {uid}")
            return
        if await self._is_keyed(namespace, uid):
            raise Forbidden(
                f"job {uid} has a key, and {caller.name} does not show it in {PROOF_HEADER}: checkpoints and progress "
                "of that job are its own pods'. If this is one, its image is older than the operator: create a job of "
                "another name with a newer runtime.image"
            )
        if namespace not in self._told:  # once each: a pod without a key may ask for any uid
            self._told.add(namespace)
            print(
                f"Namespace {namespace}: {caller.name} shows no key, so the checkpoints of its job {uid} are open to "
                "all training pods there. An earlier version made that job, or its trainer image is older than keys.",
                flush=True,
            )

    async def admit_any(self, caller: Caller, namespace: str, uids: frozenset[str]) -> None:
        """Refuse callers who are of none of these jobs. Raises: Forbidden."""
        refusals = []
        for uid in sorted(uids):
            try:
                await self.admit(caller, namespace, uid)
            except Forbidden as error:
                refusals.append(error)
        if refusals and len(refusals) == len(uids):
            raise refusals[0]

    def forget(self, namespace: str, uid: str) -> None:
        """Know nothing of a job's key any more, as the database does by `open_job`."""
        self._keyed.discard((namespace, uid))

    async def _is_keyed(self, namespace: str, uid: str) -> bool:
        def query(connection: sqlite3.Connection) -> bool:
            found = connection.execute("SELECT 1 FROM keyed_job WHERE (namespace, uid) = (?, ?)", (namespace, uid))
            return found.fetchone() is not None

        return (namespace, uid) in self._keyed or await self._database.read(query)


def kept_jobs(connection: sqlite3.Connection) -> KeptJobs:
    """Return the jobs that a pod has shown the key of, and those without a key that have checkpoints.

    Who has a journal or heartbeats has shown a key, unless an earlier version made the job.
    """
    query = "SELECT namespace, uid FROM keyed_job UNION SELECT namespace, uid FROM checkpoint ORDER BY namespace, uid"
    return KeptJobs(items=[KeptJob(namespace=namespace, uid=uid) for namespace, uid in connection.execute(query)])


def open_job(connection: sqlite3.Connection, namespace: str, uid: str) -> None:
    """Forget that a job has a key."""
    connection.execute("DELETE FROM keyed_job WHERE (namespace, uid) = (?, ?)", (namespace, uid))
