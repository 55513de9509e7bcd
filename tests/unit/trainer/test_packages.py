"""Packages at the start of a pod: pip itself, small wheels, and indexes that do not do what they should."""

import tarfile
import time
from pathlib import Path

import pytest
from runtime_support import package_index, write_wheel
from trainer_support import free_port

from belay_trainer.errors import BadConfiguration, Interrupted, TrainerError, Unreachable
from belay_trainer.runtime.packages import fault, install
from belay_trainer.stop import Stop


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels in place of any index: clusters without internet are set up so."""
    folder = tmp_path / "wheels"
    write_wheel(folder, "belay-probe-base", "1.0")
    write_wheel(folder, "belay-probe", "1.2", needs=["belay-probe-base>=1", "numpy"])
    write_wheel(folder, "belay-greedy", "1.0", needs=["numpy>=99"])
    write_wheel(folder, "numpy", "99.0")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def installed(*packages: str, at: Path, **options: float) -> dict[str, str]:
    work = at / "work"
    work.mkdir(exist_ok=True)
    return install(packages, work / "packages", work_dir=work, stop=Stop(), **options)


def test_what_is_missing_comes_and_what_the_image_has_stays(wheels: Path, tmp_path: Path) -> None:
    assert installed("belay-probe==1.2", at=tmp_path) == {"belay-probe": "1.2", "belay-probe-base": "1.0"}
    folder = tmp_path / "work" / "packages"
    assert {path.name for path in folder.glob("*.py")} == {"belay_probe.py", "belay_probe_base.py"}
    assert [path.name for path in folder.parent.iterdir()] == ["packages"], "what was downloaded is not kept"


REFUSED = {
    "no such version": ("belay-probe==9.9", r"belay-probe==9\.9 \(from versions: 1\.2\);.*Correct name or version"),
    "no such package": ("no-such-probe==1.0", r"no-such-probe==1\.0"),
    "at odds with the image": ("belay-greedy==1.0", r"numpy>=99.*\(constraint\) stays as it is.*runtime\.image"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_had_is_told_in_pips_words(wheels: Path, tmp_path: Path, case: str) -> None:
    package, words = REFUSED[case]
    with pytest.raises(BadConfiguration, match=rf"^runtime\.packages: .*{words}"):
        installed(package, at=tmp_path)


def test_what_cannot_be_built_is_the_users_to_mend(wheels: Path, tmp_path: Path) -> None:
    source = tmp_path / "belay_broken-1.0"
    source.mkdir()
    (source / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: belay-broken\nVersion: 1.0\n")
    (source / "broken.py").write_text("raise RuntimeError('no compiler here')\n")
    (source / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "broken"\nbackend-path = ["."]\n'
    )
    with tarfile.open(wheels / "belay_broken-1.0.tar.gz", "w:gz") as archive:
        archive.add(source, source.name)
    with pytest.raises(
        BadConfiguration, match=r"pip says: belay-broken==1\.0 cannot be built: RuntimeError: no compiler here\."
    ):
        installed("belay-broken==1.0", at=tmp_path)


@pytest.fixture
def index_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that `package_index` serves."""
    folder = tmp_path / "index"
    folder.mkdir()
    write_wheel(folder / "belay-probe", "belay-probe", "1.2")
    monkeypatch.delenv("PIP_NO_INDEX", raising=False)
    return folder


def test_an_index_that_comes_back_is_waited_for(
    index_of: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with package_index(index_of, failures=[503] * 4) as url:
        monkeypatch.setenv("PIP_INDEX_URL", url)
        versions = installed("belay-probe==1.2", at=tmp_path, patience_s=60, first_wait_s=0.05)
    assert versions == {"belay-probe": "1.2"}


def test_an_index_that_is_away_is_worth_another_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(Unreachable, match="the index does not answer: .*refused") as raised:
        installed("belay-probe==1.2", at=tmp_path, patience_s=0)
    assert raised.value.exit_code == 1


def test_an_index_that_has_it_not_is_not_asked_again(
    index_of: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with package_index(index_of) as url:
        monkeypatch.setenv("PIP_INDEX_URL", url)
        with pytest.raises(BadConfiguration, match=r"no-such-probe==1\.0"):
            installed("no-such-probe==1.0", at=tmp_path, patience_s=60)


def test_an_index_that_wants_a_password_says_where_to_put_it(
    index_of: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with package_index(index_of, failures=[401] * 9) as url:
        monkeypatch.setenv("PIP_INDEX_URL", url.replace("//", "//me:hidden-word@"))
        with pytest.raises(BadConfiguration, match="PIP_INDEX_URL.*from a Secret in runtime.env") as raised:
            installed("belay-probe==1.2", at=tmp_path, patience_s=60)
    assert "hidden-word" not in str(raised.value)


def test_a_pod_that_is_asked_to_go_does_not_wait_for_pip(wheels: Path, tmp_path: Path) -> None:
    class Asked(Stop):
        asked = True

    began = time.monotonic()
    with pytest.raises(Interrupted):
        install(["belay-probe==1.2"], tmp_path / "packages", work_dir=tmp_path, stop=Asked())
    assert time.monotonic() - began < 2


FAULTS: dict[str, tuple[str, str, type[TrainerError], str]] = {  # what pip 25.1 prints and logs
    "a certificate nobody knows": (
        "ERROR: No matching distribution found for a==1",
        "Could not fetch URL https://pypi.example.com/simple/a/: There was a problem confirming the ssl certificate: "
        "HTTPSConnectionPool(host='pypi.example.com', port=443): Max retries exceeded with url: /simple/a/ "
        "(Caused by SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify "
        "failed'))) - skipping",
        BadConfiguration,
        "PIP_CERT",
    ),
    "a host that nobody knows": (
        "ERROR: No matching distribution found for a==1",
        "Could not fetch URL https://pypi.example.com/simple/a/: connection error: HTTPSConnectionPool(host='pypi."
        "example.com', port=443): Max retries exceeded with url: /simple/a/ "
        "(Caused by NameResolutionError()) - skipping",
        Unreachable,
        "NameResolutionError",
    ),
    "a file that breaks off": (
        "ERROR: Could not install packages due to an OSError: HTTPSConnectionPool(host='files.example.com', port=443): "
        "Read timed out.",
        "",
        Unreachable,
        "Read timed out",
    ),
    "an image without pip": ("/usr/bin/python3: No module named pip", "", BadConfiguration, "this image has no pip"),
    "a full disk": (
        "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
        "",
        TrainerError,
        "No space left",
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_who_is_at_fault_follows_from_what_pip_says(case: str) -> None:
    said, log, kind, words = FAULTS[case]
    found = fault(said, log)
    assert type(found) is kind
    assert words in str(found)
