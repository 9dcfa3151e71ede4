"""Items computed in threads come back in their order, and no more are taken than said."""

import threading
import time

import pytest

from experiments.measurement.side_by_side import MOST_THREADS, Once, in_order, num_threads

PATIENCE_S = 30.0  # for another thread; reached only where a test fails


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_results_come_in_the_order_of_the_items(threads, count):
    assert list(in_order(lambda x: x * x, range(count), threads)) == [x * x for x in range(count)]


def test_a_later_item_that_is_done_first_waits():
    second_done = threading.Event()

    def compute(item: int) -> int:
        if item == 0:
            assert second_done.wait(PATIENCE_S)  # would never be set by one thread alone
        if item == 1:
            second_done.set()
        return item

    assert list(in_order(compute, range(4), 2)) == [0, 1, 2, 3]


def test_no_more_items_are_taken_than_threads_ahead():
    taken: list[int] = []

    def items():
        for item in range(10):
            taken.append(item)
            yield item

    results = in_order(lambda x: x, items(), 3)
    assert taken == []
    for expected in range(10):
        assert next(results) == expected
        assert len(taken) <= expected + 3


@pytest.mark.parametrize("threads", [1, 2])
def test_an_exception_comes_in_its_items_place(threads):
    def compute(item: int) -> int:
        if item == 2:
            raise ValueError("two")
        return item

    results = in_order(compute, range(5), threads)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(results)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_results_of_items_before_one_that_cannot_be_had_are_kept(threads):
    def items():
        yield from range(3)
        raise ValueError("no third")

    results = in_order(lambda x: x, items(), threads)
    assert [next(results), next(results), next(results)] == [0, 1, 2]
    with pytest.raises(ValueError, match="no third"):
        next(results)


def test_leaving_early_computes_nothing_further():
    computed: list[int] = []
    results = in_order(lambda x: computed.append(x) or x, range(100), 2)
    next(results)
    results.close()
    count = len(computed)
    assert count <= 1 + 2 + 1
    time.sleep(0.02)
    assert len(computed) == count


def test_once_is_computed_by_the_first_alone():
    calls: list[int] = []
    inside, go_on = threading.Event(), threading.Event()

    def make() -> int:
        calls.append(1)
        inside.set()
        assert go_on.wait(PATIENCE_S)
        return 7

    value, seen = Once(make), list[int]()
    askers = [threading.Thread(target=lambda: seen.append(value())) for _ in range(3)]
    for asker in askers:
        asker.start()
    assert inside.wait(PATIENCE_S)
    go_on.set()
    for asker in askers:
        asker.join()
    assert seen == [7, 7, 7]
    assert calls == [1]


def test_threads_follow_the_cores():
    assert 1 <= num_threads() <= MOST_THREADS


def test_a_task_of_a_cluster_takes_its_own_cores(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.delenv("PJRT_NPROC", raising=False)
    assert num_threads() == MOST_THREADS
    monkeypatch.setenv("PJRT_NPROC", "2")
    assert num_threads() == 2
    monkeypatch.setenv("PJRT_NPROC", "64")
    assert num_threads() == MOST_THREADS
