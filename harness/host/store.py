# SPDX-License-Identifier: MIT
"""Where things are kept: the cache, artifacts by digest, and the folder of a run."""

import errno
import fcntl
import filecmp
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import platformdirs

from harness.host.register import Register, in_use

APPLICATION = "pmu-harness"


def digest(*parts: str | bytes) -> str:
    """A name for content: SHA-256 over the parts and their lengths, 20 hex digits."""
    whole = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        whole.update(len(data).to_bytes(8, "little"))
        whole.update(data)
    return whole.hexdigest()[:20]


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write a file beside its place and rename it, so that it is whole or absent."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """As `write_text`, for what is no text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(beside).chmod(0o644)
        Path(beside).rename(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


def as_json(data: Any) -> str:
    """JSON for people and programs: indented, keys in the order given."""
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def write_json(path: Path, data: Any) -> None:
    """Write it."""
    write_text(path, as_json(data))


class Cache:
    """Sources, build folders, artifacts and observations, shared by all runs."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or Path(platformdirs.user_cache_dir(APPLICATION))
        self.debian = self.root / "debian"
        self.sources = self.root / "sources"
        self.builds = self.root / "builds"
        self.artifacts = self.root / "artifacts"
        self.observations = self.root / "observations"
        self.trials = self.root / "trials"
        self.memories = self.root / "memories"
        self._register: Register | None = None

    def use(self, place: Path, of: str) -> Path:
        """Say that this process uses an entry from now on, and for what: so it stays.

        To be said before one looks whether it is there.  The moment is recorded.
        """
        name = str(place.relative_to(self.root))
        with self.gate():
            self._register = self._register or Register(self.using)
            known = name in self._register.names
            if not known:
                self._register.add(name)
        if not known:
            self._record(name, of)
        return place

    def release(self, place: Path) -> None:
        """Say that this process uses an entry no more: it may go."""
        with self.gate():
            if self._register:
                self._register.remove(str(place.relative_to(self.root)))

    def gate(self) -> AbstractContextManager[None]:
        """Whoever is within knows what is in use: nothing is taken up, or removed, meanwhile."""
        return self.lock("using")

    @property
    def using(self) -> Path:
        """Where processes register what they use."""
        return self.root / "using"

    def record(self, name: str) -> Path:
        """What is known of an entry; it is as old as the last use."""
        return self.root / "uses" / f"{name}.json"

    def remove(self, place: Path) -> bool:
        """Remove an entry at one stroke; False where it is in use, or gone."""
        name = str(place.relative_to(self.root))
        grave = self.root / "scratch" / "removed"
        grave.parent.mkdir(parents=True, exist_ok=True)
        self._sweep(grave)
        with self.gate():
            if name in in_use(self.using) or not place.exists():
                return False
            aside = Path(tempfile.mkdtemp(dir=grave.parent, prefix=self._beside(grave)))
            place.rename(aside / place.name)
            self.record(name).unlink(missing_ok=True)
        shutil.rmtree(aside, ignore_errors=True)
        return True

    def _record(self, name: str, of: str) -> None:
        record = self.record(name)
        try:
            known = json.loads(record.read_bytes())
        except FileNotFoundError:
            known = {}
        if known.get("of") == of:
            os.utime(record)
        else:
            write_json(record, {**known, "of": of})

    @contextmanager
    def lock(self, name: str, waiting: Callable[[], None] | None = None) -> Iterator[None]:
        """One run at a time; `waiting` is called once if another one holds it.

        The lock goes with its process, so that none outlives a killed run.
        """
        path = self.root / "locks" / f"{name}.lock"
        with _opened(path) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if waiting:
                    waiting()
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _memory(self, name: str) -> Path:
        return self.sources / f"{name}.json"

    def remembers(self, name: str) -> bool:
        """True if `remembered` has nothing to find."""
        if not self._memory(name).exists():
            return False
        folder = self._recalled(name).get("folder")
        return folder is None or (self.sources / str(folder)).exists()

    def remembered(
        self,
        name: str,
        find: Callable[[], dict[str, Any]],
        *,
        refresh: bool,
        say: Callable[[str], None],
        of: str = "",
    ) -> dict[str, Any]:
        """What was found out of a source, from its memory file: found once, until a refresh.

        It is found again where the `folder` that it names is gone; that is used, for `of`.
        """
        while True:
            if refresh or not self.remembers(name):
                with self.lock(name, lambda: say("another run fetches")):
                    if refresh or not self.remembers(name):
                        write_json(self._memory(name), find())
            facts = self._recalled(name)
            if "folder" not in facts or self.use(self.sources / facts["folder"], of).exists():
                return facts

    def _recalled(self, name: str) -> dict[str, Any]:
        return dict(json.loads(self._memory(name).read_text(encoding="utf-8")))

    def artifact(self, name: str, of: str, make: Callable[[Path], None]) -> Path:
        """An artifact's folder; where it is not there, one run at a time has `make` fill it.

        `of` says what it is for.
        """
        place = self.use(self.artifacts / name, of)
        if not place.exists():
            with self.lock(name):
                if not place.exists():
                    with self.publish(place) as new:
                        make(new)
        return place

    @contextmanager
    def publish(self, place: Path) -> Iterator[Path]:
        """A folder to fill, which becomes `place` when the block ends well.

        What a killed run left half-filled stays beside, and is swept by the next.  Of
        two runs that publish one place at a time, the last one's stays.
        """
        place.parent.mkdir(parents=True, exist_ok=True)
        self._sweep(place)
        beside = Path(tempfile.mkdtemp(dir=place.parent, prefix=self._beside(place)))
        try:
            yield beside
            beside.chmod(0o755)
            while not self._renamed(beside, place):
                self._discard(place)
        finally:
            if beside.exists():
                shutil.rmtree(beside, ignore_errors=True)

    @staticmethod
    def _renamed(beside: Path, place: Path) -> bool:
        """False where there is something in the place."""
        try:
            beside.rename(place)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            return False
        return True

    def _discard(self, place: Path) -> None:
        """Take a folder out of the way in one step; another run may have done so."""
        aside = Path(tempfile.mkdtemp(dir=place.parent, prefix=self._beside(place)))
        with suppress(FileNotFoundError):
            place.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder for what is needed only now, on the cache's disk."""
        place = self.root / "scratch" / "work"
        place.parent.mkdir(parents=True, exist_ok=True)
        self._sweep(place)
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=self._beside(place)) as name:
            yield Path(name)

    @staticmethod
    def _beside(place: Path) -> str:
        """How the names of half-made folders begin: they tell whose they are."""
        return f".{place.name}.{os.getpid()}."

    @staticmethod
    def _sweep(place: Path) -> None:
        for left in place.parent.glob(f".{place.name}.*.*"):
            owner = left.name.removeprefix(f".{place.name}.").split(".")[0]
            if owner.isdigit() and not Path(f"/proc/{owner}").exists():
                shutil.rmtree(left, ignore_errors=True)


def _opened(path: Path) -> IO[bytes]:
    """A file to lock, made where it is not there."""
    try:
        return path.open("ab")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("ab")


def default_runs() -> Path:
    """Where runs go when --output does not say."""
    return Path(platformdirs.user_state_dir(APPLICATION)) / "runs"


def new_run_folder(place: Path | None, stamp: str, label: str) -> Path:
    """A new, empty run folder; a `latest` link beside it where the place is ours."""
    if place is not None:
        place.mkdir(parents=True, exist_ok=True)
        return place.resolve()
    runs = default_runs()
    runs.mkdir(parents=True, exist_ok=True)
    safe = "".join(char if char.isalnum() or char in "+.-" else "-" for char in label)
    folder = Path(tempfile.mkdtemp(dir=runs, prefix=f"{stamp}-{safe}-"))
    folder.chmod(0o755)
    link = runs / f".latest.{os.getpid()}"
    with suppress(OSError):
        link.symlink_to(folder.name)
        link.rename(runs / "latest")
    return folder


def update_files(source: Path, target: Path) -> None:
    """Make the files of one folder stand in another, rewriting only what differs.

    A link in the place of one of them is removed, and not followed.
    """
    _unlinked(target).mkdir(parents=True, exist_ok=True)
    for path in source.iterdir():
        copy = _unlinked(target / path.name)
        if path.is_dir():
            update_files(path, copy)
        elif path.is_file() and not (copy.exists() and filecmp.cmp(path, copy, shallow=False)):
            shutil.copyfile(path, copy)


def _unlinked(path: Path) -> Path:
    """A path that is no link, nor anything else than a file or a folder."""
    if path.is_symlink() or (path.exists() and not (path.is_file() or path.is_dir())):
        path.unlink()
    return path
