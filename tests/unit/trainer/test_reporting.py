"""Bands, tables and reports, against values worked out another way."""

import csv
import math
import random
import statistics
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from trainer_configs import make_config

from belay_api.findings import Finding
from belay_api.outcomes import RandomReturn
from belay_api.summary import aggregate, interquartile_mean, interval
from belay_api.training import ArtifactRef, SeedPhase, SeedStatus, TrainingReport
from belay_trainer.local.folder import RunFolder
from belay_trainer.reporting.curves import band, draw, draw_side_by_side, series_of, write_table
from belay_trainer.reporting.document import Document, Heading, Paragraph, Picture, Table, Verbatim, markdown, page
from belay_trainer.reporting.result import Result
from belay_trainer.reporting.sentences import finding_lines, sentences, standard_error, told_apart
from belay_trainer.reporting.training import document
from belay_trainer.trackers.json_lines import Row

SEEDS = {
    1: [Row(100, {"return": 10.0, "length": 10.0}), Row(100, {"kl": 0.5}), Row(200, {"return": 30.0})],
    0: [Row(100, {"return": 20.0}), Row(200, {"return": 60.0})],
}


def test_few_seeds_have_their_mean_and_reach_from_lowest_to_highest() -> None:
    found = band(series_of(SEEDS, "return"), estimate=True)
    assert (found.steps, found.middle, found.low, found.high) == ([100, 200], [15.0, 45.0], [10.0, 30.0], [20.0, 60.0])
    assert found.title == "mean of 2 seeds, band: lowest to highest"


def test_five_seeds_have_the_interquartile_mean_and_its_interval() -> None:
    values = [410.0, 450.0, 480.0, 490.0, 500.0]
    found = band([([100], [value]) for value in values], estimate=True)
    assert found.middle == [interquartile_mean(values)]
    assert (found.low[0], found.high[0]) == interval(tuple(values))
    assert "95 % interval" in found.title


def test_a_seed_that_ended_early_is_not_drawn_on_and_four_have_no_interval() -> None:
    series = [([100, 200], [float(seed), float(seed)]) for seed in range(4)] + [([100], [4.0])]
    found = band(series, estimate=True)
    assert found.middle[1] == interquartile_mean([0.0, 1.0, 2.0, 3.0])
    assert math.isnan(found.low[1])
    assert math.isfinite(found.low[0])


def test_between_its_timesteps_a_seed_is_on_the_straight_line() -> None:
    found = band([([0, 100], [0.0, 10.0]), ([50], [9.0])], estimate=True)
    assert (found.steps, found.middle) == ([0, 50, 100], [0.0, 7.0, 10.0])


def test_a_band_of_no_seeds_is_an_error() -> None:
    with pytest.raises(ValueError, match="no seeds"):
        band([], estimate=True)


def test_the_table_has_a_line_per_seed_and_timestep(tmp_path: Path) -> None:
    write_table(SEEDS, tmp_path / "curves.csv")
    with (tmp_path / "curves.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["seed"], row["step"], row["return"], row["kl"]) for row in rows] == [
        ("0", "100", "20.0", ""),
        ("0", "200", "60.0", ""),
        ("1", "100", "10.0", "0.5"),
        ("1", "200", "30.0", ""),
    ]


def test_the_picture_shows_every_metric(tmp_path: Path) -> None:
    draw(SEEDS, tmp_path / "all.png", title="cartpole", random=9.5)
    draw({0: SEEDS[0]}, tmp_path / "return.png", title="cartpole", random=None)
    sizes = {path.name: _size(path) for path in tmp_path.iterdir()}
    assert sizes["all.png"][1] > sizes["return.png"][1], "a row of small pictures below the large one"


def test_a_single_evaluation_is_seen(tmp_path: Path) -> None:
    lone = {0: [Row(1_000, {"return": 9.0})], 1: [Row(1_000, {"return": 11.0})]}
    draw(lone, tmp_path / "one.png", title="cartpole", random=None)
    draw_side_by_side({"ppo": lone}, tmp_path / "two.png", title="cartpole", random=None)
    for name in ("one.png", "two.png"):
        pixels = 255 * imread(tmp_path / name)[..., :3]
        height, width, _ = pixels.shape
        middle = pixels[height // 3 : 2 * height // 3, 2 * width // 5 : 3 * width // 5]  # without the legend
        assert (np.abs(middle - (31, 119, 180)) < 3).all(axis=2).sum() > 20, name


def test_what_stands_in_backquotes_is_code_on_a_page() -> None:
    assert "<p>in <code>a&lt;b</code>.</p>" in page(Document("t", [Paragraph("in `a<b`.")]))


def test_a_report_reads_the_same_in_both_forms() -> None:
    report = Document(
        "Training a|b <1>",
        [
            Heading("Result"),
            Paragraph("One < two."),
            Table(("seed", "said"), [("0", "loss|is\nnan")]),
            Picture("curves.png", "how it went"),
            Verbatim("spec:\n  budget: 1\n"),
        ],
    )
    assert markdown(report) == (
        "# Training a|b <1>\n\n## Result\n\nOne < two.\n\n| seed | said |\n| --- | --- |\n| 0 | loss\\|is nan |\n\n"
        "![how it went](curves.png)\n\n*how it went*\n\n```\nspec:\n  budget: 1\n```\n"
    )
    shown = page(report)
    assert "<h1>Training a|b &lt;1&gt;</h1>" in shown
    assert "<tr><td>0</td><td>loss|is\nnan</td></tr>" in shown
    assert "<pre>spec:\n  budget: 1\n</pre>" in shown


def test_what_the_diagnosis_found_stands_in_the_report_and_on_the_terminal(tmp_path: Path) -> None:
    found = Finding(reason="RewardConstant", message="All 900 returns are 0.", advice="Look at the reward.")
    reports = {
        0: TrainingReport(outcome="Succeeded", index=0, seed=7),
        1: TrainingReport(outcome="Succeeded", index=1, seed=8, findings=[found]),
    }
    result = Result(make_config(seeds={"count": 2, "first": 7}), reports, None, None)
    shown = markdown(document(result, RunFolder(tmp_path)))
    assert "| 8 | RewardConstant | All 900 returns are 0. | Look at the reward. |" in shown
    assert finding_lines(result) == ["Seed 8, RewardConstant: All 900 returns are 0. Look at the reward."]
    silent = Result(result.config, {0: reports[0]}, None, None)
    assert "Findings" not in markdown(document(silent, RunFolder(tmp_path)))


def test_a_standard_error_is_that_of_a_mean() -> None:
    generator = random.Random(1)
    values = [generator.gauss(200.0, 30.0) for _ in range(100)]
    wanted = statistics.stdev(values) / math.sqrt(len(values))
    assert standard_error(statistics.pstdev(values), len(values)) == pytest.approx(wanted)
    assert standard_error(0.0, 1) is None


@pytest.mark.parametrize(("seeds", "episodes", "of_random"), [(1, 10, 10), (1, 10, 100), (1, 100, 100), (5, 10, 100)])
def test_the_best_of_equal_seeds_is_told_apart_from_random_actions_as_rarely_as_it_says(
    seeds: int, episodes: int, of_random: int
) -> None:
    """Returns of N(0, 1). At most 5 % of reports, and three standard errors of their share.

    A normal quantile errs in 6.2 % of these where both have 10 episodes, in 7.4 % where random actions have 100.
    """
    generator, reports = np.random.default_rng(seeds), 20_000
    played = generator.normal(size=(reports, seeds, episodes))
    best = played[np.arange(reports), played.mean(axis=2).argmax(axis=1)]
    random_actions = generator.normal(size=(reports, of_random))
    wrong = sum(
        told_apart(
            one.mean() - other.mean(),
            [standard_error(one.std(), episodes), standard_error(other.std(), of_random)],
            episodes=[episodes, of_random],
            chosen_from=seeds,
        )
        for one, other in zip(best, random_actions, strict=True)
    )
    assert wrong / reports <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / reports)


def test_one_episode_proves_no_difference() -> None:
    artifact = ArtifactRef(uri="pvc://claim/policy", digest=f"sha256:{'0' * 64}")
    seed = SeedStatus(
        index=0, seed=0, phase=SeedPhase.SUCCEEDED, return_=5.0, best_step=9, artifact=artifact,
        random=RandomReturn(mean=1.0, episodes=1),
    )  # fmt: skip
    said = " ".join(sentences(Result(make_config(), {}, aggregate([seed], gated=False), None)))
    assert "the best policy is 4 above that, which may be chance" in said
    assert "better" not in said


def test_a_policy_that_learned_is_told_apart() -> None:
    assert told_apart(3.0, [0.5, 0.5], episodes=[10, 10], chosen_from=3)
    assert told_apart(0.1, [0.0, 0.0], episodes=[10, 10], chosen_from=3), "nothing varies"
    assert not told_apart(0.0, [0.0, 0.0], episodes=[10, 10], chosen_from=3)


def _size(path: Path) -> tuple[int, int]:
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG")
    return int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")
