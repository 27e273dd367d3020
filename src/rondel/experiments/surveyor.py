"""Reads the git work tree and the installed distributions."""

import subprocess
from importlib.metadata import distributions, version
from pathlib import Path

from rondel.experiments.models import Surroundings

GIT_TIMEOUT_S = 20.0


class LocalSurveyor:
    """What this process runs in. `folder` is where the code under development lies (the working directory)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._installed: tuple[str, ...] | None = None

    def survey(self) -> Surroundings:
        """The git commit and the uncommitted changes of `folder`, if it is in a work tree; and what is installed.

        Files that git does not track are listed in the diff by name, without their content.
        """
        if self._installed is None:
            self._installed = tuple(sorted({f"{each.name}=={each.version}" for each in distributions()}, key=str.lower))
        commit = self._git("rev-parse", "HEAD")
        diff = ""
        if commit is not None:
            diff = self._git("diff", "HEAD", "--no-ext-diff", "--no-color") or ""
            untracked = (self._git("ls-files", "--others", "--exclude-standard") or "").splitlines()
            diff += "".join(f"\nuntracked: {name}" for name in untracked)
        return Surroundings(version("rondel"), commit.strip() if commit else None, diff.strip(), self._installed)

    def _git(self, *arguments: str) -> str | None:
        """What git says; None without git, outside of a work tree, or when it takes too long."""
        try:
            done = subprocess.run(
                ["git", "-C", str(self._folder), *arguments],  # noqa: S607  the user's own git, by PATH
                capture_output=True,
                timeout=GIT_TIMEOUT_S,
                check=False,
            )
        except (FileNotFoundError, subprocess.TimeoutExpired):
            return None
        return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None
