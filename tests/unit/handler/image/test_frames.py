"""TorchServe's own worker code with our frames in it."""

import struct

import pytest

from belay_handler import frames
from belay_handler.server import Answer, Ask


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch):
    """Make TorchServe's service around an entry point; its functions are put back afterwards."""
    from ts import service  # only in the image
    from ts.protocol import otf_message_handler

    monkeypatch.setattr(otf_message_handler, "_retrieve_buffer", otf_message_handler._retrieve_buffer)
    monkeypatch.setattr(otf_message_handler, "_retrieve_inference_msg", otf_message_handler._retrieve_inference_msg)
    monkeypatch.setattr(service, "create_predict_response", service.create_predict_response)
    monkeypatch.setattr(
        service.Service, "retrieve_data_for_inference", staticmethod(service.Service.retrieve_data_for_inference)
    )
    frames.install("cartpole-1")

    class Metrics:
        request_ids = None

        def add_time(self, *_: object) -> None:
            """See `handler._quieten`."""

    def make(entry):
        made = service.Service("policy", "", None, entry, None, 8, True, Metrics())
        made.set_cl_socket(None)
        return made

    return make


def test_a_batch_is_answered_by_us(worker) -> None:
    seen = []

    def entry(asked, context):
        seen.extend(asked)
        return [Answer(200, b"{}"), Answer(400, b"[]")]

    message = worker(entry).predict([(b"first", Ask(b"1", b"shop")), (b"second", Ask(None))])

    assert seen == [Ask(b"1", b"shop"), Ask(None)]
    ids, found = {0: b"first", 1: b"second"}, [Answer(200, b"{}"), Answer(400, b"[]")]
    assert message == frames.answers("cartpole-1", ids, found)


def test_a_batch_that_fails_as_a_whole_is_answered_503_by_torchserve(worker) -> None:
    def entry(asked, context):
        raise ValueError("broken")

    message = worker(entry).predict([(b"first", Ask(b"1")), (b"second", Ask(None))])

    assert struct.unpack_from("!i", message)[0] == 503
    assert all(word in message for word in (b"Prediction failed", b"first", b"second"))


def test_another_version_is_not_touched(worker, monkeypatch: pytest.MonkeyPatch) -> None:
    import ts

    monkeypatch.setattr(ts, "__version__", "0.13.0")
    with pytest.raises(RuntimeError, match=r"0\.13\.0"):
        frames.install("cartpole-1")
