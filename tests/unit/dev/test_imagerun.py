"""A command inside an image, where Docker answers."""

from pathlib import Path

from tests.unit.dev.standins import Programs

from belay_cluster.imagerun import image_run
from belay_cluster.paths import Paths
from belay_cluster.shell import Laps


def test_docker_runs_the_command_and_not_the_images_own(tmp_path: Path, programs: Programs) -> None:
    paths = Paths(repository=tmp_path, cache=tmp_path / "cache", state=tmp_path / "state")
    programs.answer("docker image ls", "localhost/room:dev\n")
    programs.answer("docker run", status=5)
    status = image_run(
        paths, Laps(), "room", ["python3", "-m", "pytest"],
        mounts=[f"{tmp_path}/src:/src:ro"], env=["A=1"], workdir="/src", user="7", stale=True,
    )  # fmt: skip
    assert status == 5
    assert programs.calls("docker run") == [
        f"docker run --rm --network=host --env=A=1 --volume={tmp_path}/src:/src:ro --user=7 --workdir=/src"
        " --entrypoint=python3 localhost/room:dev -m pytest"
    ]
