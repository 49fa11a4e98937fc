"""Give damaged files of every kind to the commands; count what is not one sentence.

``python -m tests.reliability.fuzz --files 20000``

A case is a kind of file and a seed, and is repeated by ``--only tiff:123``. A finding
is an exception that no user can act on, an "Unexpected error", a command that takes
longer than 20 seconds or 2 GB of memory, the end of the process, or a file that keeps
the valid files beside it from being added.
"""

import argparse
import itertools
import multiprocessing
import os
import random
import re
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from PIL import Image
from typer.testing import CliRunner

from segmix_core.cli import stages
from segmix_core.cli.app import app
from segmix_core.data.tile_reader import TileReader
from segmix_core.errors import SegmixError
from segmix_core.pipeline import run_stage
from segmix_core.project.repair import repair
from segmix_core.project.store import ProjectStore
from segmix_core.project.verify import find_faults
from segmix_core.runs import RunFolder
from segmix_core.runs.child import run_child
from segmix_core.stage_registry import STAGES
from tests.reliability import mutate, workshop
from tests.reliability.edits import EditMaker, Twin, observe, perform

CASE_SECONDS = 20.0
CASE_BYTES = 2 << 30
_READ_TILES = 12
_FILES = 20
_ALONE_SHARE = 0.3
_TILE_SHAPE = 160, 160
_CONTEXT = multiprocessing.get_context("forkserver")
# Loaded once, and torch with them: every process is forked from one that has them.
_CONTEXT.set_forkserver_preload(
    [f"segmix_core.stages.{stage.function.split(':')[0]}" for stage in STAGES.values()]
    + ["tests.reliability.workshop"]
)
_PLACE = re.compile(r'File "[^"]*/((?:segmix_core|tests)/[^"]+)", line (\d+)')


@dataclass(frozen=True)
class Bench:
    """The folder of the valid files to start from."""

    folder: Path

    @property
    def images(self) -> Path:
        """Folder of valid images."""
        return self.folder / "images"

    @property
    def project(self) -> Path:
        """A project that has been through all stages."""
        return self.folder / "p.segmix"

    @property
    def project_with_log(self) -> Path:
        """The same after a crash: with a write-ahead log."""
        return self.folder / "crashed" / "p.segmix"

    @classmethod
    def make(cls, folder: Path) -> "Bench":
        """Make the valid files in a folder, unless they are there."""
        if (folder / "crashed").exists():
            return cls(folder)
        workshop.make_project(folder)
        workshop.make_images(folder / "images")
        bench = cls(folder)
        workshop.copy_with_log(bench.project, folder / "crashed")
        return bench


class Case:
    """Damaged files of a kind and what the commands say about them.

    Attributes
    ----------
    findings
        A short text for each thing that no user could act on.
    files
        How many files were damaged.
    """

    def __init__(self, bench: Bench, kind: str, seed: int, folder: Path) -> None:
        self.bench = bench
        self.folder = folder
        self.chance = random.Random(f"{kind}:{seed}")
        self.findings: list[str] = []
        self.files = 1
        self.verbose = False

    def copy_project(self, *, with_log: bool = False) -> Path:
        """Return a copy of the project; large files are shared."""
        origin = self.bench.project_with_log if with_log else self.bench.project
        target = self.folder / "p.segmix"
        shutil.copytree(origin, target, copy_function=_copy_or_link)
        return target

    def run(self, *words: object) -> int:
        """Run a command in this process; return its exit code."""
        given = [str(word) for word in words]
        result = CliRunner(env={"COLUMNS": "200"}).invoke(app, given)
        if self.verbose:
            sys.stdout.write(f"segmix {' '.join(given)}\n{result.output}\n")
        if result.exception and not isinstance(result.exception, SystemExit):
            self._found(result.exception)
        elif result.exit_code == 1 or "Unexpected error" in result.output:
            self.findings.append(_in_output(given[0], result.output))
        return result.exit_code

    def call(self, work: Callable[[], object]) -> bool:
        """Run something that may raise an error for users; return whether it passed."""
        try:
            work()
        except SegmixError as error:
            if self.verbose:
                sys.stdout.write(f"{error}\n")
            return False
        except Exception as error:  # noqa: BLE001
            self._found(error)
            return False
        return True

    def _found(self, error: BaseException) -> None:
        text = "".join(traceback.format_exception(error))
        if self.verbose:
            sys.stdout.write(text)
        self.findings.append(_signature(text, type(error).__name__))


def _copy_or_link(origin: str, target: str) -> str:
    if Path(origin).stat().st_size > 1 << 17 and not origin.endswith("sqlite"):
        os.link(origin, target)
        return target
    return shutil.copy(origin, target)


def _in_output(command: str, output: str) -> str:
    if "Traceback" in output:
        last = output.strip().splitlines()
        kinds = [
            line.split(":")[0] for line in last if re.match(r"[\w.]+Error\b", line)
        ]
        return _signature(output, kinds[-1] if kinds else "error")
    return f"{command}: {' '.join(output.split())[-200:]}"


def _signature(text: str, name: str) -> str:
    places = _PLACE.findall(text)
    ours = [f"{file}:{line}" for file, line in places if file.startswith("segmix_core")]
    return f"{name} at {(ours or ['?'])[-1]}"


# What is done with each kind of file


def _images(kind: str, mutation: mutate.Mutation) -> Callable[[Case], None]:
    def try_images(case: Case) -> None:
        project = case.folder / "new.segmix"
        ProjectStore.create(project, workshop.CLASSES).close()
        is_alone = case.chance.random() < _ALONE_SHARE
        case.files = 1 if is_alone else _FILES
        folder = case.folder / "images"
        folder.mkdir()
        damaged = [
            _damaged(case, kind, mutation, folder / f"a{number}")
            for number in range(case.files)
        ]
        if is_alone:
            cut = "--tile-px", case.chance.choice((64, 256)), "--min-tissue", 0
            case.run("add", project, damaged[0], *cut)
        else:
            _add_with_others(case, project, damaged)
        case.run("status", project)
        case.call(lambda: _read_tiles(project))

    return try_images


def _damaged(case: Case, kind: str, mutation: mutate.Mutation, path: Path) -> Path:
    endings = {"tiff": "tif", "svs": "svs", "png": "png", "jpeg": "jpeg"}
    base = case.chance.choice(sorted(case.bench.images.glob(f"*.{endings[kind]}")))
    ending = "".join(base.suffixes)
    if case.chance.random() < 0.05:
        ending = case.chance.choice((".tif", ".svs", ".png", ".jpg", ".ndpi", ".scn"))
    found = path.with_name(f"{path.name}{ending}")
    found.write_bytes(mutation(base.read_bytes(), case.chance))
    return found


def _add_with_others(case: Case, project: Path, damaged: list[Path]) -> None:
    folder = damaged[0].parent
    for tile in (case.bench.folder / "tiles").iterdir():
        # Tiles of a folder may differ in size, but not by much.
        Image.fromarray(workshop.draw(*_TILE_SHAPE)).save(folder / tile.name)
    good = {path.name for path in folder.iterdir()} - {path.name for path in damaged}
    case.run("add", project, folder)
    with ProjectStore.open(project) as store:
        missing = good - {image.path.name for image in store.images()}
    # What can be added alone is an image, and may be too large for a folder of tiles.
    if missing and not any(case.run("add", project, path) == 0 for path in damaged):
        case.findings.append("a damaged image keeps valid ones from being added")


def _read_tiles(project: Path) -> None:
    with ProjectStore.open(project) as store:
        images, tiles = store.images(), store.tiles()
        with TileReader(images, cache_bytes=0) as reader:
            for row in range(min(len(tiles), _READ_TILES)):
                reader.read_pixels(int(tiles.image_ids[row]), tiles.box(row))


def _mask(case: Case) -> None:
    kind = case.chance.choice(("png", "tif"))
    mutation = mutate.mutate_png if kind == "png" else mutate.mutate_tiff
    path = case.folder / "masks" / f"tile0.{kind}"
    path.parent.mkdir()
    path.write_bytes(mutation(workshop.make_mask(kind), case.chance))
    case.run("evaluate", case.copy_project(), "--masks", path.parent)


def _table(case: Case) -> None:
    name, data = case.chance.choice(sorted(workshop.make_tables().items()))
    mutation = mutate.mutate_json_lines if name.endswith("l") else mutate.mutate_csv
    path = case.folder / name
    path.write_bytes(mutation(data, case.chance))
    kind = case.chance.choice(("auto", "auto", "table", "windows"))
    more = case.chance.choice(((), ("--replace",)))
    project = case.copy_project()
    case.run("import-labels", project, path, "--kind", kind, *more)
    case.run("status", project)


def _settings(case: Case) -> None:
    project = case.copy_project()
    config = next(project.glob("runs/*_cams/config.json"))
    path = case.folder / "settings.json"
    path.write_bytes(mutate.mutate_json(config.read_bytes(), case.chance))
    case.run("cams", project, "--config", path)


def _database(case: Case) -> None:
    with_log = case.chance.random() < 0.4
    project = case.copy_project(with_log=with_log)
    file = project / "project.sqlite"
    log = project / "project.sqlite-wal"
    kind = case.chance.randrange(4)
    if kind == 0:
        mutate.mutate_rows(file, case.chance)
    elif with_log and kind == 1:
        log.write_bytes(mutate.mutate_bytes(log.read_bytes(), case.chance))
    elif with_log and kind == 2:
        # Another copy of the database beside a log that is not its own.
        shutil.copy(case.bench.project / "project.sqlite", file)
    else:
        file.write_bytes(mutate.mutate_sqlite(file.read_bytes(), case.chance))
    case.run("status", project)
    case.call(lambda: find_faults(project))
    if case.call(lambda: repair(project)):
        repaired = project.with_name("p-repaired.segmix")
        if case.run("status", repaired) != 0:
            case.findings.append("a repaired project cannot be used")
    case.call(lambda: _use(project, case))


def _use(project: Path, case: Case) -> None:
    maker = EditMaker(case.chance.randrange(2**31), case.folder)
    with ProjectStore.open(project) as store:
        twin = Twin(observe(store))
        store.history()
        store.last_changes()
        store.corrected_tiles()
        store.class_names_so_far()
        for _ in range(3):
            store.undo("labels")
            store.undo("masks")
        store.redo("labels")
        store.redo("masks")
        if not twin.now.labels or not twin.now.classes:
            return
        perform(store, maker.draw_label(twin))


_CHECKPOINTS = (
    ("train", ("cams",)),
    ("train-segmenter", ("predict",)),
    ("train", ("train", "--resume")),
)


def _checkpoint(case: Case) -> None:
    stage, words = case.chance.choice(_CHECKPOINTS)
    project = case.copy_project()
    [run] = project.glob(f"runs/*_{stage}")
    file = case.chance.choice(sorted((run / "checkpoints").rglob("*.*")))
    data = file.read_bytes()
    file.unlink()
    if file.suffix == ".json":
        file.write_bytes(mutate.mutate_json(data, case.chance))
    else:
        file.write_bytes(mutate.mutate_tensors(data, case.chance))
        if case.chance.random() < 0.7:
            mutate.correct_checksum(file)
    resumed = (run.name,) if "--resume" in words else ()
    case.run(words[0], project, *words[1:], *resumed)


_READERS = {
    "train": ("cams",),
    "cams": ("pseudo-masks",),
    "pseudo-masks": ("evaluate", "export", "train-segmenter"),
    "train-segmenter": ("predict",),
    "predict": ("evaluate", "export"),
    "export": ("stop",),
}


def _run_files(case: Case) -> None:
    project = case.copy_project()
    run = case.chance.choice(sorted((project / "runs").iterdir()))
    stage = run.name.split("_")[1]
    files = [
        file
        for file in sorted(run.rglob("*"))
        if file.is_file() and file.suffix != ".safetensors" and file.name != ".lock"
    ]
    file = case.chance.choice(files)
    data = file.read_bytes()
    file.unlink()
    if file.suffix in (".json", ".jsonl"):
        file.write_bytes(mutate.mutate_json(data, case.chance))
    elif file.suffix == ".npz":
        file.write_bytes(mutate.mutate_arrays(data, case.chance))
    elif case.chance.random() < 0.9:
        file.write_bytes(mutate.mutate_bytes(data, case.chance))
    case.run("status", project)
    command = case.chance.choice((*_READERS[stage], "stop"))
    if command == "evaluate":
        masks = case.folder / "masks"
        masks.mkdir()
        (masks / "tile0.png").write_bytes(workshop.make_mask("png"))
        case.run("evaluate", project, "--masks", masks, "--run", run.name)
    elif command == "stop":
        case.run("stop", project, run.name)
    else:
        case.run(command, project, "--run", run.name)


KINDS: dict[str, tuple[Callable[[Case], None], int]] = {
    "tiff": (_images("tiff", mutate.mutate_tiff), 2),
    "svs": (_images("svs", mutate.mutate_tiff), 2),
    "png": (_images("png", mutate.mutate_png), 1),
    "jpeg": (_images("jpeg", mutate.mutate_jpeg), 1),
    "mask": (_mask, 1),
    "table": (_table, 3),
    "settings": (_settings, 1),
    "database": (_database, 3),
    "checkpoint": (_checkpoint, 2),
    "run": (_run_files, 3),
}
"""What is done with each kind of file, and its share of the cases."""


def all_cases(kinds: Iterable[str] = KINDS) -> Iterator[tuple[str, int]]:
    """Yield kinds and seeds without end, each kind by its share."""
    chosen = [kind for kind in kinds for _ in range(KINDS[kind][1])]
    for number in itertools.count():
        for place, kind in enumerate(chosen):
            first = chosen.index(kind)
            yield kind, number * KINDS[kind][1] + place - first


def try_case(bench: Bench, kind: str, seed: int, *, verbose: bool = False) -> Case:
    """Try one case in this process."""
    with tempfile.TemporaryDirectory(prefix="segmix-fuzz-") as folder:
        case = Case(bench, kind, seed, Path(folder))
        case.verbose = verbose
        try:
            KINDS[kind][0](case)
        except Exception as error:  # noqa: BLE001
            text = "".join(traceback.format_exception(error))
            case.findings.append(f"in the script: {text[-400:]}")
    return case


# Cases in processes that may crash


@dataclass
class Findings:
    """What the cases showed: by finding, the cases that had it."""

    cases: int = 0
    files: Counter[str] = field(default_factory=Counter)
    by_text: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, seed: int, files: int, texts: Iterable[str]) -> None:
        """Note a case that was tried."""
        self.cases += 1
        self.files[kind] += files
        for text in sorted(set(texts)):
            self.by_text.setdefault(f"{kind}: {text}", []).append(f"{kind}:{seed}")

    def summary(self) -> str:
        """Return figures, then findings with some cases of each."""
        found = sum(map(len, self.by_text.values()))
        kinds = ", ".join(f"{kind} {count}" for kind, count in self.files.items())
        lines = [
            f"{self.cases} cases, {self.files.total()} files ({kinds}): "
            f"{found} findings"
        ]
        ordered = sorted(self.by_text.items(), key=lambda entry: -len(entry[1]))
        lines += [f"{len(c)} x {text} [{' '.join(c[:4])}]" for text, c in ordered]
        return "\n".join(lines)


def _work(bench: Bench, cases: list[tuple[str, int]], sender: Connection) -> None:
    in_this_process()
    in_this_process()
    # A file that wants more is a finding, and must not take the machine with it.
    resource.setrlimit(resource.RLIMIT_DATA, (3 * CASE_BYTES, 3 * CASE_BYTES))
    largest = CASE_BYTES
    for kind, seed in cases:
        sender.send(None)
        case = try_case(bench, kind, seed)
        if (used := _most_bytes()) > largest:
            largest = used
            case.findings.append(f"takes more than {CASE_BYTES >> 30} GB of memory")
        sender.send((kind, seed, case.files, case.findings))


def _most_bytes() -> int:
    who = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    return 1024 * max(resource.getrusage(one).ru_maxrss for one in who)


def in_this_process() -> None:
    """Let commands run stages in this process instead of one of their own."""

    def work(folder: RunFolder) -> int:
        run_child(folder, run_stage)
        return os.getpid()

    stages.launch = work  # type: ignore[assignment]


def try_all(
    bench: Bench, cases: Iterator[tuple[str, int]], until: float, files: int
) -> Findings:
    """Try cases with ``files`` files, but not after ``until`` of time.monotonic().

    Ctrl-C ends it, and what was found until then is returned.
    """
    findings = Findings()
    batch: list[tuple[str, int]] = []
    while time.monotonic() < until and findings.files.total() < files:
        batch = batch or list(itertools.islice(cases, 100))
        try:
            done, why = _try_batch(bench, batch, findings, until)
        except KeyboardInterrupt:
            break
        if why:
            findings.add(*batch[done], 1, [why])
            done += 1
        batch = batch[done:]
    return findings


def _try_batch(
    bench: Bench, batch: list[tuple[str, int]], findings: Findings, until: float
) -> tuple[int, str]:
    """Try cases in another process; return how many were tried and why it ended."""
    receiver, sender = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=_work, args=(bench, batch, sender))
    process.start()
    sender.close()
    done = 0
    try:
        while done < len(batch) and time.monotonic() < until:
            if not receiver.poll(CASE_SECONDS):
                return done, f"takes longer than {CASE_SECONDS:g} s"
            answer = receiver.recv()
            if answer is not None:
                findings.add(*answer)
                done += 1
    except EOFError:
        process.join()
        return done, f"the process ended with exit code {process.exitcode}"
    finally:
        process.kill()
        process.join()
    return done, ""


def main() -> int:
    """Try the cases that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0, help="Leave out so many cases.")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--only", help="One case, such as tiff:123, with all it says.")
    parser.add_argument("--bench", type=Path, help="Keep the valid files here.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="segmix-bench-") as folder:
        bench = Bench.make(options.bench or Path(folder) / "bench")
        if options.only:
            in_this_process()
            kind, seed = options.only.split(":")
            case = try_case(bench, kind, int(seed), verbose=True)
            print("\n".join(case.findings) or "no finding")
            return bool(case.findings)
        cases = itertools.islice(
            all_cases(options.kinds.split(",")), options.first, None
        )
        until = time.monotonic() + options.seconds
        findings = try_all(bench, cases, until, options.files)
    print(findings.summary())
    return bool(findings.by_text)


if __name__ == "__main__":
    sys.exit(main())
