"""The access log of slow answers, as it grows, breaks off in the middle of a line, and is rotated."""

from pathlib import Path

from belay_handler.slow import SlowLog

LINE = '/10.0.0.7:51222 "POST /predictions/policy HTTP/1.1" 200 {}\n'


def test_each_answer_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "slow.log"
    log = SlowLog(path)
    assert log.read() == [], "TorchServe has not made it yet"
    with path.open("a", buffering=1) as file:
        file.write(LINE.format(137) + LINE.format(10))
        assert log.read() == [0.137, 0.01]
        assert log.read() == []
        file.write(LINE.format(2001)[:-4])
        file.flush()
        assert log.read() == [], "not whole yet"
        file.write(LINE.format(2001)[-4:] + "what is this\n\n")
        file.flush()
        assert log.read() == [2.001]


def test_answers_of_an_earlier_worker_are_not_counted_again(tmp_path: Path) -> None:
    path = tmp_path / "slow.log"
    path.write_text(LINE.format(500))
    log = SlowLog(path)
    with path.open("a") as file:
        file.write(LINE.format(20))
    assert log.read() == [0.02]


def test_nothing_is_lost_in_a_rotation(tmp_path: Path) -> None:
    path = tmp_path / "slow.log"
    path.write_text("")
    log = SlowLog(path)
    path.write_text(LINE.format(11))
    path.rename(tmp_path / "slow.1.log")
    assert log.read() == [0.011], "the new one is not there yet"
    path.write_text(LINE.format(12))
    assert log.read() == [0.012]
    with path.open("a") as file:
        file.write(LINE.format(13))
    path.rename(tmp_path / "slow.1.log")
    path.write_text(LINE.format(14) + LINE.format(15))
    assert log.read() == [0.013, 0.014, 0.015]
    assert log.read() == []
