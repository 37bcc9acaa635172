"""How to cite a run: what, by whom, and what it takes to get it again."""

from __future__ import annotations

import datetime
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from datamask.run import Run
from datamask.run import open as open_run


@dataclass(frozen=True)
class Citation:
    """What a paper says of a run.

    :param version, commit: of the datamask that it was started with; None where the record does not say.
    :param spec_sha256: of the file `run.toml`, as `sha256sum` says.
    :param exact: whether spec, seed and version give the same bytes again.
    """

    run: str
    title: str
    year: int | None
    version: str | None
    commit: str | None
    spec_sha256: str
    seed: int
    exact: bool

    def bibtex(self) -> str:
        """Two entries: the program and the run."""
        key = re.sub(r"[^A-Za-z0-9:-]+", "-", self.run).strip("-")
        version = self.version or "version not recorded"
        promise = "spec and seed give the same bytes again" if self.exact else "not promised to be exact"
        year = f"  year = {{{self.year}}},\n" if self.year else ""
        note = (
            f"datamask {version}, commit {self.commit or 'not recorded'}; seed {self.seed}; "
            f"run.toml sha256 {self.spec_sha256}; {promise}"
        )
        return (
            "@software{datamask,\n"
            "  title = {datamask: masks that satisfy face-recognition machines},\n"
            "  author = {{The datamask developers}},\n"
            f"  version = {{{_tex(version)}}},\n"
            f"{year}"
            "  license = {Apache-2.0},\n"
            "}\n"
            f"@misc{{datamask:{key},\n"
            f"  title = {{{{{_tex(self.title)}: masks evolved with datamask}}}},\n"
            f"{year}"
            f"  howpublished = {{Run {_tex(self.run)}}},\n"
            f"  note = {{{_tex(note)}}},\n"
            "}\n"
        )


def cite(run: Run | str | Path) -> Citation:
    """What a paper that shows a run's masks should say.

    :param run: a run, its path or its URL.
    """
    opened = run if isinstance(run, Run) else open_run(run)
    versions = opened.record.spec_table().get("versions", {})
    return Citation(
        run=opened.name,
        title=str(opened.spec["name"]),
        year=_year(str(opened.manifest.get("started", ""))),
        version=versions.get("datamask"),
        commit=versions.get("commit"),
        spec_sha256=hashlib.sha256(opened.read("run.toml")).hexdigest(),
        seed=int(opened.spec["seed"]),
        exact=bool(opened.spec.get("run", {}).get("exact", True)),
    )


def _year(started: str) -> int | None:
    try:
        return datetime.datetime.fromisoformat(started).year
    except ValueError:
        return None


def _tex(text: str) -> str:
    """Text with what TeX reads otherwise."""
    return re.sub(r"([&%$#_{}])", r"\\\1", text)
