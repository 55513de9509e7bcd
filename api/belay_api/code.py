"""Where modules of the user's own come from: a ConfigMap, a folder of a claim, a revision of a git repository."""

from typing import Annotated

from pydantic import Field

from belay_api.model import Model, exactly_one, rule, rules

ObjectName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]

# A segment is never `.` or `..`, so that no path leads out of where it begins.
_SEGMENT = r"\.?[A-Za-z0-9_][A-Za-z0-9._-]*"
RelativePath = Annotated[str, Field(pattern=rf"^{_SEGMENT}(/{_SEGMENT})*$", max_length=256)]


class ConfigMapCode(Model):
    """Modules in a ConfigMap."""

    name: ObjectName
    """Name of the ConfigMap; each key is a file."""
    package: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)] | None = None
    """Import package whose modules the files are: with `my_package`, `envs.py` is imported as `my_package.envs`. Unset:
    each file is a module of its own."""


class PvcCode(Model):
    """Modules in a folder of a PersistentVolumeClaim of the job's namespace."""

    claim: ObjectName
    """Name of the claim; ReadWriteMany or ReadOnlyMany, or one node."""
    path: RelativePath | None = None
    """Folder that modules are imported from; unset: the claim's root."""


class GitCode(Model):
    """Modules in a git repository, fetched when a pod starts."""

    model_config = {
        "json_schema_extra": rules(
            rule(
                "self.url.matches('^https?://[^@ ]+$')",
                "code.git.url begins with https:// (or http://) and has neither user nor password in it: name a Secret "
                "with username and password in code.git.credentials",
            ),
        )
    }

    url: Annotated[str, Field(min_length=1, max_length=512)]
    """Address of the repository, such as `https://git.example.com/me/tasks.git`."""
    revision: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/+-]*$", max_length=255)]
    """A full commit of 40 digits, or a tag. A branch is refused: it moves, and seeds that start at different times
    would train with different code."""
    path: RelativePath | None = None
    """Folder that modules are imported from, such as `src`; unset: the repository's root."""
    credentials: ObjectName | None = None
    """Secret with the keys `username` and `password`, as the type kubernetes.io/basic-auth has them; a token is a
    password. Unset: the repository is public."""


@exactly_one("runtime.code", "keep one, or put the modules together into one git repository")
class CodeSpec(Model):
    """Modules of your own, which training pods can import: exactly one place."""

    config_map: ConfigMapCode | None = None
    """A ConfigMap, as `kubectl create configmap NAME --from-file=my_task.py` makes it: for a file or a few. What is
    changed in it later reaches pods that start later: make it `immutable: true`."""
    pvc: PvcCode | None = None
    """A folder of a claim. Its files keep their owners and modes: user 65532, as whom the trainer runs, must be allowed
    to read them."""
    git: GitCode | None = None
    """A pinned revision of a git repository; without its submodules."""
