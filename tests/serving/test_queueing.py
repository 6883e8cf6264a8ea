"""Simultaneous requests, with an answerer that waits until it is told to go on."""

import json
import threading

import pytest

from modeling_pm_vit.serving.queueing import BusyError, Queue


class Waiting:
    """Answers with the request itself; refuses the text `bad`; breaks on `broken`."""

    def __init__(self):
        self.go, self.begun, self.batches = threading.Event(), threading.Semaphore(0), []

    def answer_together(self, requests):
        self.batches.append(list(requests))
        self.begun.release()
        assert self.go.wait(10)
        for number, data in enumerate(requests):
            if data == "broken":
                raise RuntimeError("the model broke")
            yield number, ValueError("refused") if data == "bad" else [data]


@pytest.fixture
def answerer():
    return Waiting()


@pytest.fixture
def queue(answerer):
    queue = Queue(answerer, max_batch=4, max_waiting=8)
    yield queue
    answerer.go.set()
    queue.close()


def put(queue, data):
    return queue.put(json.dumps(data).encode(), True, {})


def test_requests_that_wait_are_answered_together(queue, answerer):
    first = put(queue, 0)
    assert answerer.begun.acquire(timeout=10)
    rest = [put(queue, data) for data in (1, "bad", 2, 3, 4)]
    assert len(queue) == 6
    answerer.go.set()
    assert json.loads(first.result(10)) == [0]
    assert isinstance(rest[1].exception(10), ValueError)
    assert [json.loads(one.result(10)) for one in rest if one is not rest[1]] == [[1], [2], [3], [4]]
    assert answerer.batches == [[0], [1, "bad", 2, 3], [4]]


def test_more_requests_than_may_wait_are_refused(queue, answerer):
    put(queue, 0)
    assert answerer.begun.acquire(timeout=10)
    waiting = [put(queue, data) for data in range(7)]
    with pytest.raises(BusyError, match="8 requests wait"):
        put(queue, 9)
    answerer.go.set()
    assert [json.loads(one.result(10)) for one in waiting] == [[data] for data in range(7)]
    assert json.loads(put(queue, 9).result(10)) == [9]


def test_a_cancelled_request_is_not_computed(queue, answerer):
    put(queue, 0)
    assert answerer.begun.acquire(timeout=10)
    gone, there = put(queue, 1), put(queue, 2)
    assert gone.cancel()
    answerer.go.set()
    there.result(10)
    assert answerer.batches == [[0], [2]]


def test_an_error_of_the_model_goes_to_every_request_of_the_batch_and_the_next_are_answered(queue, answerer):
    put(queue, 0)
    assert answerer.begun.acquire(timeout=10)
    batch = [put(queue, data) for data in ("broken", 1)]
    answerer.go.set()
    for one in batch:
        assert isinstance(one.exception(10), RuntimeError)
    assert json.loads(put(queue, 2).result(10)) == [2]
    assert queue.is_alive


def test_what_waits_is_answered_before_the_queue_closes(answerer):
    queue = Queue(answerer, max_batch=4, max_waiting=8)
    waiting = [put(queue, data) for data in range(3)]
    answerer.go.set()
    queue.close()
    assert [json.loads(one.result(0)) for one in waiting] == [[0], [1], [2]]
    assert not queue.is_alive
    with pytest.raises(BusyError):
        put(queue, 3)


@pytest.mark.parametrize(
    "body, is_json, query, data",
    [
        (b"photograph", False, {"top_k": "2"}, {"inputs": b"photograph", "parameters": {"top_k": "2"}}),
        (b'{"inputs": "x"}', True, {"top_k": "2"}, {"inputs": "x", "parameters": {"top_k": "2"}}),
        (b'{"inputs": "x", "parameters": {}}', True, {"top_k": "2"}, {"inputs": "x", "parameters": {}}),
        (b'"x"', True, {"top_k": "2"}, "x"),
    ],
)
def test_parameters_of_the_query_are_used_if_the_body_has_none(queue, answerer, body, is_json, query, data):
    answerer.go.set()
    queue.put(body, is_json, query).exception(10)  # of bytes there is no JSON: this answer has an error
    assert answerer.batches == [[data]]


@pytest.mark.parametrize("body", [b"{", b"\xff", b"", b"[" * 10**5])
def test_a_body_that_is_not_json_is_refused(queue, answerer, body):
    with pytest.raises(ValueError, match="the body is not JSON"):
        queue.put(body, True, {}).result(10)
