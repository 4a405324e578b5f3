"""The cache of answers: exact, bounded, and whole after whatever happens to its file or its process."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pareto.inference.best_of.cache import Cache, Use
from pareto.store.files import fingerprint


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "answers.sqlite"


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        self.time += 1
        return self.time


def test_what_was_put_is_found_by_another_process_and_nothing_else_is(path: Path) -> None:
    Cache(path).put("a", {"text": "Niamey \u2028 ü", "number": 0.1, "none": None})
    again = Cache(path)
    assert again.get("a") == {"text": "Niamey \u2028 ü", "number": 0.1, "none": None}
    assert again.get("A") is None
    assert again.get("a ") is None
    assert (again.use().hits, again.use().misses, again.use().entries) == (1, 2, 1)
    assert again.use().rate == pytest.approx(1 / 3)


def test_an_empty_cache_has_a_rate(path: Path) -> None:
    assert Cache(path).use() == Use(0, 0, 0, 0)
    assert Cache(path).use().rate == 0


def test_the_least_recently_used_go_first_and_the_bound_holds(path: Path) -> None:
    cache = Cache(path, most_bytes=350, now=Clock())
    for key in "abc":
        cache.put(key, "x" * 97)  # with key and quotes 100 bytes
    cache.get("a")
    cache.put("d", "x" * 97)
    assert [key for key in "abcd" if cache.get(key)] == ["a", "c", "d"]
    assert cache.use().bytes == 300
    cache.put("e", "x" * 247)
    assert [key for key in "abcde" if cache.get(key)] == ["d", "e"]
    cache.put("f", "x" * 400)
    assert [key for key in "def" if cache.get(key)] == ["d", "e"]


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 60)), max_size=30))
def test_the_size_never_passes_the_bound_and_the_last_put_is_there(
    tmp_path_factory: pytest.TempPathFactory, puts: list[tuple[int, int]]
) -> None:
    cache = Cache(tmp_path_factory.mktemp("bound") / "answers.sqlite", most_bytes=100, now=Clock())
    for key, size in puts:
        cache.put(str(key), "x" * size)
        assert cache.get(str(key)) == "x" * size
        assert cache.use().bytes <= 100
    cache.close()


def test_an_answer_expires(path: Path) -> None:
    clock = Clock()
    cache = Cache(path, keep_seconds=60, now=clock)
    cache.put("a", 1)
    cache.put("b", 2)
    clock.time += 50
    assert cache.get("a") == 1
    clock.time += 20  # that it was asked for does not make it younger
    assert cache.get("a") is None
    cache.put("c", 3)
    assert cache.use().entries == 1


@pytest.mark.parametrize("what", ["half", "garbage", "zeros", "tail", "another"])
def test_a_damaged_file_is_set_aside_and_a_new_one_begun(path: Path, what: str) -> None:
    cache = Cache(path)
    values = {f"key-{i}": "x" * 3000 + str(i) for i in range(40)}
    for key, value in values.items():
        cache.put(key, value)
    cache.close()
    data = path.read_bytes()
    if what == "another":
        path.unlink()
        with sqlite3.connect(path) as other:
            other.execute("create table answers (x)")
        other.close()
    else:
        broken = {
            "half": data[: len(data) // 2],
            "garbage": random.Random(0).randbytes(len(data)),
            "zeros": bytes(len(data)),
            "tail": data[:8192] + bytes(len(data) - 8192),
        }
        path.write_bytes(broken[what])
    notes: list[str] = []
    cache = Cache(path, note=notes.append)
    for key, value in values.items():
        assert cache.get(key) in (None, value)
    assert len(notes) == 1
    assert "set aside as answers.sqlite.damaged" in notes[0]
    assert path.with_name("answers.sqlite.damaged").is_file()
    cache.put("new", 1)
    assert cache.get("new") == 1
    assert Cache(path).get("new") == 1


def test_a_changed_letter_is_noticed(path: Path) -> None:
    cache = Cache(path)
    cache.put("a", "the answer is yes")
    cache.close()
    path.write_bytes(path.read_bytes().replace(b"answer is yes", b"answer is not"))
    notes: list[str] = []
    cache = Cache(path, note=notes.append)
    assert cache.get("a") is None
    assert "not the one that was written" in notes[0]


def test_one_that_had_it_open_when_another_set_it_aside_goes_on_with_the_new_file(path: Path) -> None:
    first, second = Cache(path), Cache(path, note=pytest.fail)
    second.put("a", 1)
    second.close()
    assert second.get("a") == 1
    path.replace(path.with_name("answers.sqlite.damaged"))
    first.put("b", 2)
    second.put("c", 3)
    assert [second.get(k) for k in "abc"] == [None, 2, 3]
    assert [first.get(k) for k in "abc"] == [None, 2, 3]


def test_an_empty_file_is_a_new_one(path: Path) -> None:
    path.touch()
    cache = Cache(path, note=pytest.fail)
    cache.put("a", 1)
    assert cache.get("a") == 1


def test_a_folder_that_is_not_there_costs_the_cache_and_not_the_answer(tmp_path: Path) -> None:
    notes: list[str] = []
    cache = Cache(tmp_path / "none" / "answers.sqlite", note=notes.append)
    cache.put("a", 1)
    assert cache.get("a") is None
    assert len(notes) == 1
    assert "answers are not kept" in notes[0]


def test_ten_thousand_near_duplicates_never_hit_each_other(path: Path) -> None:
    rng = random.Random(3)
    words = ["do", "not", "never", "always", "stop", "start", "my", "dog", "cat", "please", "?", "!"]
    cache = Cache(path, most_bytes=1 << 30)
    kept: dict[str, str] = {}
    base = [rng.choice(words) for _ in range(8)]
    with_changes = set()
    while len(with_changes) < 10_000:
        near = list(base)
        for _ in range(rng.randint(1, 3)):
            near[rng.randrange(len(near))] = rng.choice(words)
        with_changes.add(" ".join(near) + rng.choice(["", " ", "\n", "."]))
    for i, text in enumerate(sorted(with_changes)):
        key = fingerprint({"prompt": text, "n": 8})
        if i % 2:
            kept[text] = f"answer {i}"
            cache.put(key, kept[text])
    wrong = [t for t in with_changes if cache.get(fingerprint({"prompt": t, "n": 8})) != kept.get(t)]
    assert wrong == []
    assert cache.use().hits == len(kept)


def test_a_hit_costs_less_than_five_milliseconds(path: Path) -> None:
    cache = Cache(path)
    for i in range(300):
        cache.put(str(i), {"candidates": ["x" * 400] * 8, "i": i})
    seconds = []
    for i in range(0, 300, 10):
        start = time.perf_counter()
        assert cache.get(str(i))["i"] == i
        seconds.append(time.perf_counter() - start)
    assert sorted(seconds)[len(seconds) // 2] < 0.005


WRITER = """
import sys
from pathlib import Path
from pareto.inference.best_of.cache import Cache
cache = Cache(Path(sys.argv[1]), most_bytes=200_000, note=lambda line: print("note", line, flush=True))
print("ready", flush=True)
for i in range(int(sys.argv[2]), 10**9):
    cache.put(f"key-{i}", f"{i} " * 500)
    print(i, flush=True)
"""


def test_killed_in_mid_write_it_opens_and_has_what_was_said_to_be_kept(path: Path) -> None:
    rng = random.Random(1)
    start = 0
    for _ in range(6):
        command = [sys.executable, "-c", WRITER, str(path), str(start)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
            time.sleep(rng.uniform(0.005, 0.15))
            writer.kill()
            told = [line for line in writer.stdout.read().splitlines() if not line.startswith("note")]
            assert writer.wait() == -9
        # The last line may be cut, and the value after it be there already.
        done = [int(line) for line in told[:-1]]
        cache = Cache(path, note=pytest.fail)
        for i in done[-20:]:
            assert cache.get(f"key-{i}") == f"{i} " * 500
        assert cache.use().bytes <= 200_000
        cache.close()
        start = (done[-1] if done else start) + 2


def test_two_processes_write_at_the_same_time(path: Path) -> None:
    commands = [[sys.executable, "-c", WRITER, str(path), str(start)] for start in (0, 10**6)]
    writers = [subprocess.Popen(c, stdout=subprocess.PIPE, text=True) for c in commands]
    told = []
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdout is not None
        told.append([writer.stdout.readline().strip() for _ in range(25)])
    for writer in writers:
        writer.kill()
        writer.communicate()
    assert not any(line.startswith("note") for lines in told for line in lines)
    cache = Cache(path, note=pytest.fail, most_bytes=200_000)
    assert cache.use().entries > 25
