"""``datamask doctor``: whether this machine has what is needed, and what to do where it has not."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import redis
import typer
from rich.console import Console
from rich.text import Text

from coordinator.cli.layout import print_table
from coordinator.cli.terminal import print_json
from services.errors import BadInput, CorruptData, DatamaskError, Unavailable
from services.recognition.catalog import installed, locate, models, verify
from services.shape.catalog import basis_ids, basis_info
from services.storage.local import LocalStore
from services.storage.open import open_store
from services.wire.bells import BROKER_VARIABLE, DEFAULT_BROKER, connect, named_broker
from services.wire.broker_url import check_broker, redacted, scrubbed

REDIS_MINIMUM = (6, 2)
REDIS_WAIT_S = 2.0
STORE_WAIT_S = 5.0

State = Literal["ok", "optional", "missing"]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. state: ``missing`` fails the doctor, ``optional`` does not."""

    name: str
    state: State
    found: str
    mend: str = ""


def doctor(
    store: Annotated[
        str,
        typer.Option(
            envvar="DATAMASK_STORE", help="Where runs are to be kept: a folder, or s3://bucket/prefix."
        ),
    ] = "runs",
    broker: Annotated[
        str | None,
        typer.Option(envvar=BROKER_VARIABLE, help="Redis of the Celery workers; where given it must answer."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same for machines.")] = False,
) -> None:
    """Check device, OpenGL, Redis, store, weights and versions; exit 1 where something needed is missing.

    Redis is needed for --executor celery only: it is optional unless --broker or DATAMASK_BROKER names one.
    """
    checks = list(examine(store, broker))
    healthy = all(check.state != "missing" for check in checks)
    if as_json:
        print_json({"healthy": healthy, "checks": [asdict(c) for c in checks]})
    else:
        _print(Console(), checks)
    if not healthy:
        raise typer.Exit(1)


def examine(store: str, broker: str | None) -> Iterator[Check]:
    """Every check, in the order in which they are shown."""
    yield from check_versions()
    yield from check_libraries()
    yield check_device()
    yield check_opengl()
    yield from check_weights()
    yield from check_bases()
    yield check_store(store)
    yield check_redis(broker or named_broker())
    yield check_insightface()


def check_versions() -> Iterator[Check]:
    """Python and every distribution that datamask asks for, against the versions that it asks for."""
    yield Check("python", "ok", platform.python_version())
    try:
        wanted = importlib.metadata.requires("datamask") or []
        yield Check("datamask", "ok", importlib.metadata.version("datamask"))
    except importlib.metadata.PackageNotFoundError:
        yield Check("datamask", "missing", "not installed", "pip install . in datamask's folder")
        return
    for line in wanted:
        requirement = line.replace(" ", "")
        name = re.split(r"[<>=!~;\[(]", requirement)[0]
        if ";" in requirement:  # extras are for developers
            continue
        mend = f'pip install "{requirement}"'
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield Check(name, "missing", "not installed", mend)
            continue
        fits = all(
            _fits(found, sign, bound) for sign, bound in re.findall(r"(>=|<=|==|<|>)([0-9.]+)", requirement)
        )
        yield Check(name, "ok" if fits else "missing", found, "" if fits else mend)


def _fits(found: str, sign: str, bound: str) -> bool:
    compare: dict[str, Callable[[tuple[int, ...], tuple[int, ...]], bool]] = {
        ">=": lambda a, b: a >= b,
        "<=": lambda a, b: a <= b,
        "==": lambda a, b: a == b,
        "<": lambda a, b: a < b,
        ">": lambda a, b: a > b,
    }
    return compare[sign](_numbers(found), _numbers(bound))


def _numbers(version: str) -> tuple[int, ...]:
    numbers = [int(n) for n in re.findall(r"\d+", re.split(r"[+a-z]", version)[0])]
    return tuple((numbers + [0] * 4)[:4])


def _probed(what: str) -> dict[str, Any]:
    from worker.probe import probe

    return probe(what)


def check_libraries() -> Iterator[Check]:
    """Compiled libraries that are installed may still fail to load, for want of a system library."""
    answer = _probed("imports")
    failed = {"libraries": answer["error"]} if "error" in answer else answer
    mends = {"cv2": "pip uninstall opencv-python; pip install opencv-python-headless (needs no libGL)"}
    for name, error in failed.items():
        if error is not None:
            yield Check(name, "missing", f"cannot be loaded: {error}", mends.get(name, "install it again"))


def check_device() -> Check:
    """What torch computes on."""
    found = _probed("torch")
    if "error" in found:
        return Check("device", "missing", f"torch cannot be loaded: {found['error']}", "install torch again")
    kind = "CUDA" if found["cuda"] else "CPU"
    return Check("device", "ok", f"{kind} ({found['hardware']}), {found['threads']} threads")


def check_opengl() -> Check:
    """Render one triangle off screen."""
    found = _probed("opengl")
    if "error" not in found:
        return Check("opengl", "ok", f"{found['platform']}: {found['renderer']}")
    system = (
        "apt install libegl1 libgl1 libgl1-mesa-dri libxrender1"
        if sys.platform == "linux"
        else "update the graphics driver"
    )
    mend = f"{system} (software rendering is enough), and leave PYOPENGL_PLATFORM unset or set it to egl"
    return Check("opengl", "missing", f"no picture: {found['error']}", mend)


def check_weights() -> Iterator[Check]:
    """Every model of the catalog, hashes included."""
    for info in models():
        name = f"model {info.name}"
        try:
            if locate(info) is not None:
                verify(info)
            elif not installed(info) or info.file is not None:
                # What has to be fetched is needed by those alone who name it.
                state: State = "missing" if info.parcel is None else "optional"
                yield Check(name, state, "not installed", info.how_to_get)
                continue
        except CorruptData as error:
            yield Check(name, "missing", f"damaged: {error}", info.how_to_get)
        except (Unavailable, OSError) as error:
            yield Check(name, "missing", f"cannot be read: {error}", info.how_to_get)
        else:
            yield Check(name, "ok", info.sha256[:12] if info.file else f"part of {info.package}")


def check_bases() -> Iterator[Check]:
    """The bases that masks are made of."""
    for basis in basis_ids():
        try:
            info = basis_info(basis)
        except DatamaskError as error:
            yield Check(f"basis {basis}", "missing", f"{error}", "install datamask again")
        else:
            found = f"{info.sha256[:12]}, {len(info.gene_names)} genes, {info.vertex_count} vertices"
            yield Check(f"basis {basis}", "ok", found)


def check_store(url: str) -> Check:
    """Write, and have writers race, in the store. A folder that this makes is removed again."""
    made: list[Path] = []
    try:
        seen = open_store(url)
        if isinstance(seen, LocalStore):
            made = [folder for folder in (seen.root, *seen.root.parents) if not folder.exists()]
        opened = open_store(url, write=True, patience_s=STORE_WAIT_S)
        return Check("store", "ok", f"writable: {opened.url}")
    except (BadInput, Unavailable) as error:
        return Check("store", "missing", f"{error}", "name another with --store or DATAMASK_STORE")
    finally:
        for folder in made:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def check_redis(broker: str | None) -> Check:
    """Whether the broker answers, and is new enough. Optional where none is named."""
    url = broker or DEFAULT_BROKER
    absent: State = "missing" if broker else "optional"
    mend = f"start redis-server, or set {BROKER_VARIABLE} to one that runs"
    try:
        client = connect(url, REDIS_WAIT_S)
        try:
            version = str(client.info("server")["redis_version"])
        finally:
            client.close()
    except BadInput as error:
        return Check("redis server", "missing", f"{error}", mend)
    except (redis.RedisError, OSError) as error:
        note = "" if broker else "; needed for --executor celery only"
        said = scrubbed(error, check_broker(url))
        return Check("redis server", absent, f"{redacted(url)}: {said}{note}", mend)
    if _numbers(version) < REDIS_MINIMUM:
        return Check(
            "redis server", absent, f"{redacted(url)}: version {version}", "install Redis 6.2 or newer"
        )
    return Check("redis server", "ok", f"{redacted(url)}: version {version}")


def check_insightface() -> Check:
    """Never needed: a further recognizer, for those whose use its weights' terms allow."""
    if importlib.util.find_spec("insightface") is None:
        return Check(
            "insightface",
            "optional",
            "not installed; its weights are for non-commercial research only",
            "pip install --no-deps insightface (its opencv-python would need the system's libGL)",
        )
    try:
        importlib.metadata.version("opencv-python")
    except importlib.metadata.PackageNotFoundError:
        return Check("insightface", "ok", importlib.metadata.version("insightface"))
    return Check(
        "insightface",
        "optional",
        "opencv-python came with it and needs the system's libGL.so.1 and libglib",
        "pip uninstall opencv-python; pip install --force-reinstall opencv-python-headless",
    )


def _print(console: Console, checks: list[Check]) -> None:
    styles = {"ok": "green", "optional": "yellow", "missing": "red"}
    rows: list[list[str | Text]] = [
        [check.name, Text(check.state, styles[check.state]), check.found] for check in checks
    ]
    print_table(console, "datamask doctor", ["part", "state", "found"], rows, left=(0, 1), prose=(2,))
    for check in checks:
        if check.mend:
            console.print(f"{check.name}: {check.mend}", markup=False, highlight=False, soft_wrap=True)
    if os.environ.get("PYOPENGL_PLATFORM") not in (None, "egl"):
        console.print(f"PYOPENGL_PLATFORM is {os.environ['PYOPENGL_PLATFORM']}", markup=False)
