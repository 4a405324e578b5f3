import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
import pytest

from pareto.errors import ParetoError
from pareto.objectives.verifiers import sandbox
from pareto.objectives.verifiers.sandbox import Limits, run

LIMITS = Limits(seconds=3)
ADD = "def add(a, b):\n    return a + b\n"
WRONG = "def add(a, b):\n    return a - b\n"
TESTS = "assert add(1, 2) == 3\nassert add(0, 0) == 0"


@pytest.fixture(autouse=True)
def _nothing_is_left_behind(tmp_path_factory, monkeypatch):
    """After each test the next item still scores, and no process or folder has stayed."""
    folder = tmp_path_factory.mktemp("runs")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    before = _children()
    yield
    assert run(ADD, Limits(), TESTS).status == "pass"
    assert _children() <= before
    assert not list(folder.iterdir())


def _children():
    return {p.pid for p in psutil.Process().children(recursive=True)}


def test_four_ways_to_end():
    assert run(ADD, LIMITS, TESTS).status == "pass"
    failed = run(WRONG, LIMITS, TESTS)
    assert (failed.status, failed.detail) == ("fail", "tests, line 1: AssertionError")
    assert (failed.passed, failed.tests) == (1, 2)
    assert run("while True: pass", Limits(seconds=0.5)).status == "timeout"
    assert run("1 / 0", LIMITS, TESTS).detail == "code, line 1: ZeroDivisionError: division by zero"
    assert run("1 / 0", LIMITS, TESTS).status == "error"
    assert run("def f(:", LIMITS, TESTS).status == "error"
    assert run(ADD, LIMITS, "assert add(").status == "error"


def test_an_assertion_of_the_code_itself_fails():
    assert run("assert 1 == 2", LIMITS).status == "fail"
    assert run("assert 1 == 1", LIMITS).status == "pass"


def test_any_number_of_tests_and_any_length_of_code():
    code = ADD + "#" * 10**6
    outcome = run(code, Limits(seconds=30), "assert add(1, 1) == 2\n" * 20_000 + "assert add(1, 1) == 3")
    assert (outcome.status, outcome.passed, outcome.tests) == ("fail", 20_000, 20_001)
    assert outcome.detail == "tests, line 20001: AssertionError"


def test_the_standard_library_is_there_and_nothing_else():
    code = """
import asyncio, bisect, collections, copy, dataclasses, datetime, decimal, fractions, functools, hashlib, heapq
import itertools, json, math, operator, random, re, statistics, string, time, typing, unicodedata
@dataclasses.dataclass
class Point:
    x: int
print(Point(1)); time.sleep(0.01); random.random(); time.time()
"""
    assert run(code, LIMITS, "import os; assert os.listdir('.') == [] and dict(os.environ) == {}").status == "pass"
    for module in ("numpy", "pareto", "pareto.objectives.verifiers.confinement"):
        assert "ModuleNotFoundError" in run(f"import {module}", LIMITS).detail


def test_the_same_code_ends_the_same_every_time():
    assert run("assert hash('a') == int(open('/dev/null').read() or hash('a'))", LIMITS).status == "pass"
    details = {run("raise ValueError(hash('a'))", LIMITS).detail for _ in range(2)}
    assert len(details) == 1


BOMB = """
import os
while True:
    try:
        os.fork()
    except BaseException:
        pass
"""
STUBBORN = """
import signal
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
while True:
    try:
        while True: pass
    except BaseException:
        pass
"""
DAEMON = """
import subprocess, sys, threading
for start in (lambda: subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True),
              lambda: threading.Thread(target=print).start()):
    try:
        start()
    except (OSError, RuntimeError):
        continue
    raise SystemExit("started")
"""


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("timeout", "while True: pass"),
        ("timeout", "import time; time.sleep(100)"),
        ("timeout", "9**9**9"),
        ("timeout", BOMB),
        ("timeout", STUBBORN),
        ("timeout", "while True: print('spam' * 1000)"),
        ("timeout", "import os\nwhile True: os.write(4, b'spam' * 1000)"),
        ("error", "import os; os.fork()"),
        ("error", "x = bytearray(10 * 10**9)"),
        ("error", "x = []\nwhile True: x.append(bytearray(10**7))"),
        ("error", "def f(): f()\nf()"),
        ("error", "import ctypes; ctypes.string_at(0)"),
        ("error", "input()"),
        ("error", "import os, signal; os.kill(os.getppid(), signal.SIGTERM)"),
        ("error", "import os, shutil; shutil.rmtree(os.getcwd())"),
        ("error", "import ctypes; assert ctypes.CDLL(None).ptrace(16, 1, 0, 0) != 0; 1 / 0"),
        ("pass", DAEMON),
    ],
)
def test_everything_is_over_at_the_limit(status, code):
    start = time.monotonic()
    outcome = run(code, Limits(seconds=2))
    assert time.monotonic() - start < 2 + 5
    assert outcome.status == status, outcome


def test_no_file_is_written(tmp_path):
    kept = tmp_path / "kept"
    kept.write_text("mine")
    for act in (
        f"open({str(tmp_path / 'new')!r}, 'w')",
        "open('new', 'w')",
        f"open({str(kept)!r}, 'a').write('x')",
        f"import os; os.truncate({str(kept)!r}, 0)",
        f"import os; os.remove({str(kept)!r})",
        f"import os; os.rename({str(kept)!r}, 'x')",
        f"import os; os.chmod({str(kept)!r}, 0)",
        f"import os; os.symlink({str(kept)!r}, 'x')",
        f"import os; os.mkdir({str(tmp_path / 'folder')!r})",
        "import os; os.memfd_create('x')",
        f"import sqlite3; sqlite3.connect({str(tmp_path / 'new')!r}).execute('create table t (x)')",
    ):
        outcome = run(act, LIMITS)
        assert outcome.status == "error", (act, outcome)
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]
    assert kept.read_text() == "mine"


def test_nothing_is_sent():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for act in (
            f"import socket; socket.create_connection(('127.0.0.1', {port}))",
            "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
            "import socket; socket.socketpair()",
            f"import urllib.request; urllib.request.urlopen('http://127.0.0.1:{port}')",
        ):
            outcome = run(act, LIMITS)
            assert outcome.status == "error", (act, outcome)
            assert "Operation not permitted" in outcome.detail
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


FORGERIES = {
    "prints a verdict": "print('pass', flush=True)\nimport os; os.write(1, b'\\0pass\\x001\\0')",
    "writes a verdict to every descriptor": """
import os
for fd in range(64):
    try: os.write(fd, b"\\0pass\\x002\\0")
    except OSError: pass
os._exit(0)
""",
    "exits": "import sys; sys.exit(0)",
    "exits at once": "import os; os._exit(0)",
    "exits from a test": "import sys\ndef add(a, b): sys.exit(0)",
    "exits at once from a test": "import os\ndef add(a, b): os._exit(0)",
    "leaves through an exit handler": "import atexit, os\natexit.register(os._exit, 0)\ndef add(a, b): return 7",
    "replaces built-ins": """
import builtins
for name in ("exec", "compile"):
    setattr(builtins, name, lambda *a, **k: None)
builtins.str = builtins.AssertionError = builtins.BaseException = int
builtins.isinstance = lambda *a: True
def add(a, b): return 7
""",
    "replaces modules": """
import os, ast, sys, json
ignore = lambda *a, **k: (None, None, None)
os._exit = os.write = os.pread = ast.parse = sys.exc_info = sys.settrace = json.loads = ignore
def add(a, b): return 7
""",
    "replaces what runs it": """
import sys
frame = sys._getframe()
while frame:
    frame.f_globals.update(_told=lambda *a: "", isinstance=lambda *a: False)
    for value in list(frame.f_locals.values()):
        if isinstance(value, (list, dict)): value.clear()
    frame = frame.f_back
def add(a, b): return 7
""",
    "traces what runs it": """
import sys
def trace(frame, event, value):
    if "first" in frame.f_locals: frame.f_locals["first"] = ""
    return trace
sys.settrace(trace); sys.setprofile(trace)
def add(a, b): return 7
""",
}


@pytest.mark.parametrize("code", FORGERIES.values(), ids=FORGERIES)
def test_what_does_not_pass_the_tests_does_not_pass(code):
    outcome = run(code, LIMITS, TESTS)
    assert outcome.status in ("fail", "error"), outcome


def test_neither_tests_nor_token_are_in_sight_of_the_code():
    code = """
import gc, sys
seen = []
frame = sys._getframe()
while frame:
    seen += [repr(v) for v in list(frame.f_locals.values()) + list(frame.f_globals.values())]
    frame = frame.f_back
assert not any("secret_" + "test" in s for s in seen)
"""
    assert run(code, LIMITS, "assert 'secret_test'").status == "pass"


def test_any_thread_may_call():
    found = []
    threads = [threading.Thread(target=lambda: found.append(run(ADD, Limits(), TESTS).status)) for _ in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert found == ["pass"] * 3


def test_it_dies_with_whoever_waits_for_it(tmp_path):
    code = f"""
import sys; sys.path.insert(0, {str(Path.cwd())!r})
from pareto.objectives.verifiers.sandbox import Limits, run
run("import time; time.sleep(60)", Limits(seconds=60))
"""
    parent = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"TMPDIR": str(tmp_path)})
    children = []
    while not children:
        time.sleep(0.05)
        children = [p for p in psutil.Process(parent.pid).children() if "inside" in " ".join(p.cmdline())]
    time.sleep(0.5)  # it has asked to die with it
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive


def test_where_code_cannot_be_confined_it_does_not_run(tmp_path, monkeypatch):
    mark = tmp_path / "mark"
    code = f"open({str(mark)!r}, 'w')"
    (tmp_path / "sandbox_without_filter.py").write_text(
        "from pareto.objectives.verifiers import confinement, inside\nconfinement.MACHINES.clear()\ninside.main()\n"
    )
    with monkeypatch.context() as m:
        m.setattr(sandbox, "_MODULE", "sandbox_without_filter")
        m.setattr(sandbox, "_ROOT", f"{sandbox._ROOT}{os.pathsep}{tmp_path}")
        with pytest.raises(ParetoError, match=r"code cannot be confined here: .*no filter for linux"):
            run(code, LIMITS)
    assert not mark.exists()


def test_unconfined_code_still_ends_at_the_limit():
    limits = Limits(seconds=1, unconfined=True)
    assert run(ADD, limits, TESTS).status == "pass"
    assert run("open('x', 'w', buffering=1).write('x\\n')", limits).status == "error"
    start = time.monotonic()
    assert run("import os\nos.fork()\nwhile True: pass", limits).status in ("timeout", "error")
    assert time.monotonic() - start < 1 + 5


@pytest.mark.parametrize(("field", "value"), [("seconds", 0), ("seconds", float("nan")), ("memory", 1)])
def test_limits_must_be_limits(field, value):
    with pytest.raises(ParetoError, match=field):
        Limits(**{field: value})
