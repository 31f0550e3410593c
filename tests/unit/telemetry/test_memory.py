from pathlib import Path

from fanmesh.runtime.memory import EVERY, Memory, reader


def test_the_number_is_that_of_this_process() -> None:
    """Resident memory in bytes: more than an interpreter needs, less than a machine has; and it follows what is allocated."""
    read = reader()
    before = read()
    held = b"x" * 64_000_000
    assert 1_000_000 < before < 2**40
    assert read() - before > len(held) // 2


def test_it_is_read_at_most_four_times_a_second() -> None:
    """Asked with every request, read every 250 ms."""
    time, reads = 7, iter(range(1, 9))
    memory = Memory(lambda: time, lambda: next(reads))
    assert [memory.used, memory.used] == [1, 1]
    time += EVERY - 1
    assert memory.used == 1
    time += 1
    assert memory.used == 2


def test_without_proc_the_peak_stands_in(tmp_path: Path) -> None:
    """Other systems say the most that there ever was, in bytes as well."""
    assert reader(tmp_path / "none")() >= reader()() // 2
