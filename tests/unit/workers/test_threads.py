"""The threads of plain `def` workers."""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap
from collections.abc import Callable
from concurrent.futures import Future
from threading import Event
from weakref import ref

import pytest

from fanmesh.workers.threads import Threads

PATIENCE = 20.0


def ended(program: str) -> subprocess.CompletedProcess[str]:
    """A program that has a call in a thread, and how it ends."""
    source = "from fanmesh.workers.threads import Threads\nfrom threading import Event\nthreads = Threads()\n"
    command = [sys.executable, "-c", source + textwrap.dedent(program)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


def test_no_more_run_at_once_than_may() -> None:
    """The others wait for their turn, in order."""
    threads, go = Threads(2), Event()
    begun: list[int] = []

    def call(number: int) -> int:
        begun.append(number)
        assert go.wait(PATIENCE)
        return number

    first = [threads.submit(call, number) for number in (0, 1)]
    later = [threads.submit(call, number) for number in (2, 3)]
    assert threads.leave() == 4
    assert not set(begun) & {2, 3}
    go.set()
    assert [one.result(PATIENCE) for one in first + later] == [0, 1, 2, 3]


def test_a_thread_that_is_free_is_used_again() -> None:
    """A quiet program has one."""
    threads = Threads()
    for number in range(5):
        assert threads.submit(lambda number=number: number).result(PATIENCE) == number
    assert len(threads._threads) == 1
    assert threads.leave() == 0


def test_what_is_raised_is_raised_to_the_caller() -> None:
    """Whatever it is; the thread lives on."""
    threads = Threads(1)

    def fails() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        threads.submit(fails).result(PATIENCE)
    assert threads.submit(int).result(PATIENCE) == 0


def test_what_was_cancelled_while_it_waited_is_not_called() -> None:
    """Nobody wants it any more."""
    threads, go, called = Threads(1), Event(), Event()
    first = threads.submit(go.wait, PATIENCE)
    second = threads.submit(called.set)
    assert second.cancel()
    go.set()
    assert first.result(PATIENCE)
    assert threads.submit(called.is_set).result(PATIENCE) is False


class Large(Exception):  # noqa: N818  (an answer, too)
    """An answer, or an error."""


def raises() -> Large:
    """Fails with it."""
    raise Large


@pytest.mark.parametrize("call", [Large, raises])
def test_an_answer_is_not_kept(call: Callable[[], Large]) -> None:
    """A large one would stay until the thread's next call, and an error until the garbage is collected."""
    threads, gone = Threads(1), Event()
    gc.disable()
    try:
        future: Future[Large] = threads.submit(call)
        kept = ref(future.exception(PATIENCE) or future.result(PATIENCE), lambda _: gone.set())
        del future
        assert gone.wait(PATIENCE)
    finally:
        gc.enable()
    assert kept() is None


def test_a_program_finishes_what_it_has_begun() -> None:
    """Also what still waits: it may be a write."""
    program = """
        go, threads = Event(), Threads(1)
        threads.submit(lambda: (go.wait(), print("first")))
        for _ in range(20):
            threads.submit(print, "more")
        go.set()
    """
    done = ended(program)
    assert (done.returncode, done.stdout.split()) == (0, ["first"] + ["more"] * 20)


def test_a_program_that_leaves_them_ends_without_them() -> None:
    """Nothing else is skipped: it ends well, and runs what is to run at its end."""
    program = """
        import atexit
        begun = Event()
        threads.submit(lambda: (begun.set(), Event().wait()))
        begun.wait()
        atexit.register(print, "cleaned up")
        print("left", threads.leave())
    """
    done = ended(program)
    assert (done.returncode, done.stdout.split("\n"), done.stderr) == (0, ["left 1", "cleaned up", ""], "")
