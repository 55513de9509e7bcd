"""What may be edited while a job is suspended, and that an upgrade is no edit."""

from belay_api.content import edit_hash, settled, spec_hash
from belay_api.edits import EDITABLE, editable
from belay_api.training import RLTrainingJobSpec

LEAST = {"environment": {"id": "CartPole-v1"}, "algorithm": {"ppo": {}}, "budget": {"steps": 1000}}


def _spec(**more: object) -> RLTrainingJobSpec:
    return RLTrainingJobSpec.model_validate({**LEAST, **more})


def test_an_upgrade_makes_no_running_job_anew() -> None:
    """Jobs of the last version carry these hashes: where they change, an upgrade would stop and make anew every Job."""
    full = _spec(
        budget={"steps": 1000, "deadline": "2h"},
        runtime={
            "resources": {"limits": {"memory": "2Gi"}},
            "nodeSelector": {"disk": "ssd"},
            "tolerations": [{"operator": "Exists"}],
            "imagePullSecrets": [{"name": "a"}],
        },
    )
    assert (edit_hash(_spec()), edit_hash(full)) == ("fbbbbf586f4444e9", "860293ef83c0f6e8")


def test_an_edit_is_another_hash_and_the_same_training() -> None:
    for edit in (
        {"runtime": {"resources": {"limits": {"memory": "2Gi"}}}},
        {"failure": {"retriesPerSeed": 7}},
        {"checkpoint": {"every": 7}},
        {"budget": {"steps": 1000, "deadline": "3h"}},
    ):
        assert edit_hash(_spec(**edit)) != edit_hash(_spec()), edit
        assert spec_hash(_spec(**edit)) == spec_hash(_spec()), edit
        assert settled(_spec(**edit)) == settled(_spec()), edit
    assert edit_hash(_spec(suspend=True, seeds={"parallelism": 1})) == edit_hash(_spec())
    assert spec_hash(_spec(checkpoint={"environment": False})) != spec_hash(_spec())


def test_all_that_is_named_is_there() -> None:
    assert set(editable(_spec())) == set(EDITABLE)
