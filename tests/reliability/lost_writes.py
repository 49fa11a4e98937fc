"""Lose writes that were not flushed, whatever the file system; count what is lost.

``python -m tests.reliability.lost_writes --cuts 200`` (Linux; needs strace)

A process makes a project and edits it under strace, which records every write, flush,
rename and removal in order. For each cut a folder is built anew as a disk may hold it
at that moment: what was flushed is there; of the writes to a file since its last flush
any are missing, whole or in part (sectors of 512 bytes); of the changes of folders
since the last flush of anything only the first ones are there. The project in it is
opened and compared with what it must hold: all edits acknowledged by then, and the one
at work whole or not at all.
"""

import argparse
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from segmix_core.project.store import ProjectStore
from tests.reliability.edits import (
    Edit,
    EditMaker,
    Known,
    Twin,
    draw_first_images,
    make_project,
    observe,
)
from tests.reliability.outcome import Outcome, check
from tests.reliability.power_cut import make_then_edit

_EDITS = 120
_CUTS = 50
_SECTOR = 512
_WRITES = ("write", "pwrite64", "pwritev", "writev", "ftruncate", "fallocate")
_CALLS = (
    *(*_WRITES, "openat", "creat", "fsync", "fdatasync", "rename", "renameat"),
    *("renameat2", "link", "linkat", "unlink", "unlinkat"),
)
_CALL = re.compile(r"^(\d+) +(\w+)\((.*)\) += (-?\d+)")
_PAUSED = re.compile(r"^(\d+) +(.*) <unfinished \.\.\.>$")
_RESUMED = re.compile(r"^(\d+) +<\.\.\. \w+ resumed>(.*)$")
_TEXT = re.compile(r'"((?:\\x..)*)"')
_PATH = re.compile(r"<((?:\\x..)*)>")


@dataclass
class _File:
    """The content of a file on the disk, and writes that may not be there yet."""

    flushed: bytes = b""
    waiting: list[tuple[int, bytes | None]] = field(default_factory=list)

    def flush(self) -> None:
        """Bring all writes to the disk."""
        for write in self.waiting:
            self.flushed = _written(self.flushed, *write)
        self.waiting.clear()

    def after_cut(self, chance: random.Random) -> bytes:
        """Return what may be on the disk."""
        content = self.flushed
        share = chance.choice((0.0, 0.5, 0.9, 1.0))
        for place, data in self.waiting:
            if chance.random() >= share:
                continue
            if data is None or chance.random() < 0.7:
                content = _written(content, place, data)
                continue
            for start in range(0, len(data), _SECTOR):
                if chance.random() < 0.5:
                    part = data[start : start + _SECTOR]
                    content = _written(content, place + start, part)
        return content


def _written(content: bytes, place: int, data: bytes | None) -> bytes:
    if data is None:
        return content[:place].ljust(place, b"\0")
    return content[:place].ljust(place, b"\0") + data + content[place + len(data) :]


class Disk:
    """The files of a folder, as far as recorded calls have come."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._files: dict[str, _File] = {}
        self._on_disk: dict[str, _File] = {}
        self._changes: list[tuple[str, _File | None]] = []
        self._ends: dict[str, int] = {}
        for path in folder.rglob("*"):
            if path.is_file():
                self._files[str(path)] = _File(path.read_bytes())
        self._on_disk = dict(self._files)

    def apply(self, call: str, arguments: str, result: int) -> None:
        """Follow one call that succeeded."""
        opened = _PATH.search(arguments)
        path = _decoded(opened[1]).decode() if opened else ""
        if call in ("fsync", "fdatasync"):
            self._flush(path)
        elif path in self._files and call in _WRITES:
            self._write(call, path, arguments, result)
        elif call not in _WRITES:
            names = [_decoded(text).decode() for text in _TEXT.findall(arguments)]
            self._rename(call, names, arguments)

    def _rename(self, call: str, names: list[str], arguments: str) -> None:
        if call in ("openat", "creat"):
            self._open(names[0], arguments)
        elif call.startswith("link") and names[0] in self._files:
            self._link(names[1], self._files[names[0]])
        elif call.startswith(("rename", "unlink")) and names[0] in self._files:
            file = self._files.pop(names[0])
            if call.startswith("rename"):
                self._link(names[1], file)
            self._changes.append((names[0], None))

    def _open(self, path: str, arguments: str) -> None:
        if not path.startswith(self._folder + "/") or path.endswith("-shm"):
            return
        if "O_CREAT" in arguments and path not in self._files:
            self._link(path, _File())
        elif "O_TRUNC" in arguments and path in self._files:
            self._files[path].waiting.append((0, None))

    def _link(self, path: str, file: _File) -> None:
        self._files[path] = file
        self._changes.append((path, file))

    def _flush(self, path: str) -> None:
        if path in self._files:
            self._files[path].flush()
        elif not path.startswith(self._folder):
            return
        # Journaled file systems write all changes of folders with the next flush.
        _apply(self._on_disk, self._changes)
        self._changes.clear()

    def _write(self, call: str, path: str, arguments: str, result: int) -> None:
        file = self._files[path]
        if call == "ftruncate":
            file.waiting.append((int(arguments.rsplit(",", 1)[1]), None))
        elif call == "pwrite64":
            data = _decoded(_TEXT.findall(arguments)[0])[:result]
            file.waiting.append((int(arguments.rsplit(",", 1)[1]), data))
        elif call == "write":
            data = _decoded(_TEXT.findall(arguments)[0])[:result]
            end = self._ends.get(path, 0)
            file.waiting.append((end, data))
            self._ends[path] = end + len(data)
        elif call != "fallocate":
            raise ValueError(f"{call} is not followed")

    def after_cut(self, chance: random.Random, target: Path) -> None:
        """Write what may be on the disk to a new folder."""
        found = dict(self._on_disk)
        _apply(found, self._changes[: chance.randint(0, len(self._changes))])
        for path, file in found.items():
            copy = target / Path(path).relative_to(self._folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.after_cut(chance))


def _apply(files: dict[str, _File], changes: list[tuple[str, _File | None]]) -> None:
    for path, file in changes:
        if file is None:
            files.pop(path, None)
        else:
            files[path] = file


def _decoded(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def read_calls(record: Path) -> Iterator[tuple[str, str, int]]:
    """Yield name, arguments and result of the calls that succeeded, in order."""
    paused: dict[str, str] = {}
    with record.open(encoding="latin-1") as file:
        for line in file:
            text = line.rstrip("\n")
            if match := _PAUSED.match(text):
                paused[match[1]] = match[2]
                continue
            if match := _RESUMED.match(text):
                text = f"{match[1]} {paused.pop(match[1])}{match[2]}"
            if (match := _CALL.match(text)) and int(match[4]) >= 0:
                yield match[2], match[3], int(match[4])


class Trials:
    """A project that is made and edited under strace, and cuts of its disk."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.outcome = Outcome("cuts")
        self._folder = folder
        self._chance = random.Random(seed)
        self._lives = 0
        with ProjectStore.open(make_project(folder / "template")) as store:
            self._added = Twin(observe(store))

    def live(self, cuts: int) -> None:
        """Edit a new project and cut its disk at ``cuts`` moments."""
        self._lives += 1
        folder = self._folder / f"life{self._lives}"
        home, acknowledged = folder / "home", folder / "acknowledged"
        draw_first_images(home)
        twins, edits = self._plan(folder)
        disk = Disk(home)
        calls = _recorded(folder, home, edits, acknowledged)
        moments = sorted(self._chance.choices(range(len(calls)), k=cuts))
        done = 0
        for number, (call, arguments, result) in enumerate(calls):
            for _ in range(moments.count(number)):
                self._cut(disk, twins, done)
            disk.apply(call, arguments, result)
            opened = _PATH.search(arguments)
            if call == "write" and opened and _names(opened[1], acknowledged):
                done += 1
        self.outcome.acknowledged += done
        shutil.rmtree(folder)

    def _plan(self, folder: Path) -> tuple[list[Twin], list[Edit]]:
        made = Twin(Known(classes=self._added.now.classes))
        twins = [Twin(Known()), made, self._added]
        maker = EditMaker(self._chance.randrange(2**31), folder, without=("add",))
        edits: list[Edit] = []
        for _ in range(_EDITS):
            edits.append(maker.draw(twins[-1]))
            twins.append(twins[-1].after(edits[-1]))
        return twins, edits

    def _cut(self, disk: Disk, twins: list[Twin], done: int) -> None:
        self.outcome.trials += 1
        with tempfile.TemporaryDirectory(prefix="segmix-lost-") as folder:
            disk.after_cut(self._chance, Path(folder))
            project = Path(folder) / "p.segmix"
            if (project / "project.sqlite").exists():
                check(project, twins, done, done + 1, self.outcome)
            elif done:
                self.outcome.lost += done
                self.outcome.findings["The project is gone."] += 1


def _names(text: str, path: Path) -> bool:
    return _decoded(text).decode() == str(path)


def _recorded(
    folder: Path, home: Path, edits: list[Edit], acknowledged: Path
) -> list[tuple[str, str, int]]:
    plan, record = folder / "edits.json", folder / "calls.txt"
    plan.write_text(json.dumps(edits), encoding="utf-8")
    strace = [
        "strace",
        "-f",
        "-y",
        "-xx",
        "-s",
        "10000000",
        "-e",
        f"trace={','.join(_CALLS)}",
    ]
    work = [sys.executable, "-m", "tests.reliability.lost_writes", "--write"]
    words = [*strace, "-o", record, *work, plan, home, acknowledged]
    subprocess.run(words, check=True)
    return list(read_calls(record))


def run_trials(folder: Path, cuts: int, seed: int) -> Outcome:
    """Cut a disk ``cuts`` times."""
    trials = Trials(folder, seed)
    while (left := cuts - trials.outcome.trials) > 0:
        trials.live(min(left, _CUTS))
    return trials.outcome


def main() -> int:
    """Run the trials that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuts", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", nargs=3, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        plan, home, acknowledged = options.write
        edits = json.loads(plan.read_text(encoding="utf-8"))
        make_then_edit(home, edits, acknowledged)
        return 0
    with tempfile.TemporaryDirectory(prefix="segmix-lost-") as folder:
        outcome = run_trials(Path(folder), options.cuts, options.seed)
    print(outcome.summary())
    return not outcome.is_clean


if __name__ == "__main__":
    sys.exit(main())
