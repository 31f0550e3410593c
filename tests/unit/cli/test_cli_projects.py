"""What `dev`, `worker` and `init` find: processes, files, functions."""

from __future__ import annotations

from pathlib import Path

import pytest

from dispatcher.assembly import MERGES
from dispatcher.config import load_text
from fanmesh.cli.ends import Exit, Stop
from fanmesh.cli.grouping import Group, addresses, affected, directories, groups, is_local, source
from fanmesh.cli.importing import warm_up, workers
from fanmesh.cli.init import CONFIG, FILES, init
from fanmesh.cli.loading import load, load_or_stop
from fanmesh.cli.watching import since, stamps

PROJECT = """
version: 1
workers:
  a: {target: "127.0.0.1:7001", effect: read}
  b: {target: "localhost:7002", effect: read}
  c: {target: "127.0.0.1:7001", effect: read}
  d: {target: "127.0.0.1:7001", endpoints: ["127.0.0.1:7001", "127.0.0.1:7003"], effect: read}
  far: {target: "dns:///geo.example.com:50051", effect: read}
plans: {p: {branches: {a: {}, b: {}, c: {}, d: {}}}}
"""


def _groups(dev: str) -> tuple[Group, ...]:
    return groups(load_text(f"{PROJECT}dev: {dev}\n", filename="f.yaml", merges=MERGES))


def test_one_process_per_address() -> None:
    """Workers at one address share a process; a worker with two endpoints is in two; what `dev` does not name is not run."""
    found = _groups('{a: "x.a:a", b: "x.b:b", d: "y:d"}')
    assert [(group.listen, group.workers) for group in found] == [
        ("127.0.0.1:7001", (("a", "x.a:a"), ("d", "y:d"))),
        ("localhost:7002", (("b", "x.b:b"),)),
        ("127.0.0.1:7003", (("d", "y:d"),)),
    ]
    assert found[0].names == ("a", "d")
    assert found[0].modules == ("x.a", "y")


def test_a_worker_elsewhere_cannot_be_started_here() -> None:
    """The error names the worker and its address."""
    with pytest.raises(ValueError, match=r"dev\.far: geo\.example\.com:50051 is not an address of this machine"):
        _groups('{far: "x:y"}')


@pytest.mark.parametrize(
    ("address", "local"),
    [("127.0.0.1:1", True), ("127.8.8.8:1", True), ("[::1]:1", True), ("localhost:1", True), ("unix:/x", True),
     ("10.0.0.1:1", False), ("geo:1", False)],
)  # fmt: skip
def test_what_is_here(address: str, local: bool) -> None:  # noqa: FBT001  (a table)
    """Loopback addresses, loopback names and sockets."""
    assert is_local(address) is local


def test_targets_are_addresses() -> None:
    """The scheme that the configuration adds is taken away again."""
    config = load_text(PROJECT, filename="f.yaml", merges=MERGES)
    assert addresses(config.catalogue.workers["b"]) == ("localhost:7002",)
    assert addresses(config.catalogue.workers["d"]) == ("127.0.0.1:7001", "127.0.0.1:7003")


def test_sources_are_found_without_importing(tmp_path: Path) -> None:
    """Modules, packages and modules in packages; never by running them."""
    (tmp_path / "one.py").write_text("raise SystemExit")
    (tmp_path / "pack" / "deep").mkdir(parents=True)
    (tmp_path / "pack" / "__init__.py").write_text("raise SystemExit")
    (tmp_path / "pack" / "deep" / "two.py").write_text("raise SystemExit")
    assert source("one", [str(tmp_path)]) == tmp_path / "one.py"
    assert source("pack", [str(tmp_path)]) == tmp_path / "pack" / "__init__.py"
    assert source("pack.deep.two", [str(tmp_path)]) == tmp_path / "pack" / "deep" / "two.py"
    assert source("nowhere", [str(tmp_path)]) is None


def test_a_saved_file_restarts_whom_it_concerns(tmp_path: Path) -> None:
    """A worker's own file restarts that worker, a helper beside it every worker that may import it, others nobody."""
    package = tmp_path / "pack"
    (package / "sub").mkdir(parents=True)
    a, b = Group("x:1", (("a", "pack.a:a"),)), Group("x:2", (("b", "pack.b:b"),))
    made_of = {a: {"pack.a": package / "a.py"}, b: {"pack.b": package / "b.py"}}
    assert affected([package / "a.py"], made_of) == {a}
    assert affected([package / "helper.py"], made_of) == {a, b}
    assert affected([package / "sub" / "helper.py"], made_of) == {a, b}
    assert affected([tmp_path / "other.py"], made_of) == set()
    assert directories(made_of[a]) == {package, package / "sub"}


MODULE = """
from fanmesh.workers import worker
warmed = []
def warm():
    warmed.append(1)
@worker("hello")
def hello(q): return q
def plain(q): return q
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    return tmp_path


def test_workers_are_found_in_the_current_directory(here: Path) -> None:
    """By module and function; NAME= serves one under another name; `warm()` of a module runs once."""
    (here / "mod_found.py").write_text(MODULE)
    found = workers(["mod_found:hello", "bye=mod_found:hello"])
    assert [each.name for each in found] == ["hello", "bye"]
    assert warm_up(found) == ["mod_found"]
    assert found[0].function.__globals__["warmed"] == [1]


@pytest.mark.parametrize(
    ("reference", "message", "hint"),
    [
        ("mod_wrong", "names no function", "module:function"),
        ("nowhere_at_all:x", "no module 'nowhere_at_all'", "PYTHONPATH"),
        ("mod_wrong:hallo", "has no 'hallo'", "did you mean mod_wrong:hello"),
        ("mod_wrong:plain", "plain function", "@worker"),
        ("mod_needs:x", "needs 'not_installed_here'", "pip install not_installed_here"),
        ("mod_breaks:x", "ZeroDivisionError", "see above"),
    ],
)
def test_what_cannot_be_imported_says_why(here: Path, reference: str, message: str, hint: str) -> None:
    """Each way to fail has words of its own, and a next step."""
    (here / "mod_wrong.py").write_text(MODULE)
    (here / "mod_needs.py").write_text("import not_installed_here")
    (here / "mod_breaks.py").write_text("1 / 0")
    with pytest.raises(Stop, match=message) as stopped:
        workers([reference])
    assert hint in stopped.value.hint


def test_a_warm_up_that_fails_is_not_served(here: Path) -> None:
    """Its module is named."""
    (here / "mod_cold.py").write_text(MODULE.replace("warmed.append(1)", "raise OSError('no table')"))
    with pytest.raises(Stop, match=r"mod_cold.*no table"):
        warm_up(workers(["mod_cold:hello"]))


def test_init_writes_a_project_that_loads_and_keeps_what_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both files are written, the configuration is valid, and a second time nothing is overwritten."""
    target = tmp_path / "new" / "place"
    assert init(target) == Exit.OK
    assert "fanmesh dev" in capsys.readouterr().out
    assert {path.name for path in target.iterdir()} == set(FILES)
    assert list(load(target / "fanmesh.yaml").catalogue.plans) == ["greet"]
    (target / "hello.py").write_text("mine")
    with pytest.raises(Stop, match="not overwritten"):
        init(target)
    assert (target / "hello.py").read_text() == "mine"


def test_the_quick_start_is_six_lines() -> None:
    """What the documentation promises: beside the comment, not more."""
    assert len([line for line in CONFIG.splitlines() if not line.startswith("#")]) <= 6


def test_a_configuration_that_cannot_be_used_ends_the_program_with_all_problems(tmp_path: Path) -> None:
    """Errors with their lines, and what to try."""
    file = tmp_path / "f.yaml"
    file.write_text("version: 2\nworkers: {}\nplans: {p: {branches: {nobody: {}}}}\n")
    with pytest.raises(Stop, match=r"f\.yaml cannot be used") as stopped:
        load_or_stop(file)
    assert "version" in stopped.value.message
    assert "fanmesh check" in stopped.value.hint
    with pytest.raises(Stop, match="there is no file"):
        load(tmp_path / "none.yaml")


def test_what_was_written_since_is_noticed(tmp_path: Path) -> None:
    """A file whose stamp differs; one that is gone, or was never there, is not a change."""
    one, two, never = tmp_path / "one.py", tmp_path / "two.py", tmp_path / "never.py"
    one.write_text("1")
    two.write_text("2")
    before = {**stamps([one, two, never]), one: 0}
    two.unlink()
    assert since(before) == {one}
