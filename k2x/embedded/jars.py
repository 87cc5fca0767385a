"""Fetches the jars a committed lock names, with jgo, and lets none through whose SHA-256 differs.

The lock lists the whole class path, so a start needs no dependency resolution: each jar is taken from the cache, else
from the local Maven repository, else from the repositories that jgo is configured with (Maven Central by default;
mirrors and M2_REPO as jgo knows them). `python -m k2x.embedded.jars` writes the lock anew after a version change.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests
from jgo.config import GlobalSettings
from jgo.constants import MAVEN_CENTRAL_URL
from jgo.maven import MavenContext

from k2x.embedded.errors import DiskFull, JarSumDiffers, JarsUnavailable, LockUnreadable

LOCK = Path(__file__).with_name("jars.lock")
KAFKA_VERSION = "4.1.0"
# slf4j-simple writes to stderr, needs no configuration file, and 1.7.36 is the API version Kafka 4.1 is built against.
KAFKA_COORDINATES = (f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}", "org.slf4j:slf4j-simple:1.7.36")

_LINE = re.compile(
    r"^(?P<coordinate>[\w.\-]+:[\w.\-]+:[\w.\-]+(:[\w.\-]+)?)(@(?P<packaging>[\w.]+))? (?P<sha256>[0-9a-f]{64})$"
)
_PARALLEL_DOWNLOADS = 8  # 46 small files: latency, not bandwidth, is what costs
_HTTP_TIMEOUT_S = 15  # of silence, not of the whole download
_PAUSES_S = (1.0,)  # one repeat: a network that is away is to be reported, not waited for
_PROGRESS_EVERY = 10  # jars

Say = Callable[[str], None]


@dataclass(frozen=True)
class LockedJar:
    """One line of a lock: a Maven coordinate, and the SHA-256 (hex) its file must have. `packaging`: jar or tar.gz."""

    group: str
    artifact: str
    version: str
    classifier: str
    packaging: str
    sha256: str

    @property
    def coordinate(self) -> str:
        parts = [self.group, self.artifact, self.version] + ([self.classifier] if self.classifier else [])
        return ":".join(parts)

    @property
    def file_name(self) -> str:
        """Name in our cache: with the group, as two groups may use one artifact name."""
        return f"{self.coordinate.replace(':', '_')}.{self.packaging}"


def read_lock(path: Path = LOCK) -> list[LockedJar]:
    """The jars of a lock file, in class path order. Raises LockUnreadable."""
    jars = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.match(line.strip())
        if not match:
            raise LockUnreadable(
                f"{path}:{number}: not `group:artifact:version[:classifier][@type] sha256`: {line[:120]!r}"
            )
        group, artifact, version, *classifier = match["coordinate"].split(":")
        name = (group, artifact, version, classifier[0] if classifier else "")
        jars.append(LockedJar(*name, match["packaging"] or "jar", match["sha256"]))
    if not jars:
        raise LockUnreadable(f"{path} names no jar; restore it from version control")
    return jars


def default_cache() -> Path:
    """The user's cache folder, shared by all checkouts, so that only the first start of a machine downloads."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "k2x" / "jars"


def fetch(lock: Path = LOCK, cache: Path | None = None, say: Say = lambda _: None) -> list[Path]:
    """Paths of all jars of `lock`, each with the right sum, downloading what the cache lacks.

    Every sum is checked at every call: 50 MB take 0.1 s.
    Raises JarsUnavailable, JarSumDiffers, LockUnreadable, DiskFull.
    """
    cache = cache or default_cache()
    jars = read_lock(lock)
    paths = [cache / jar.file_name for jar in jars]
    if not _wanting(jars, cache):
        return paths
    cache.mkdir(parents=True, exist_ok=True)
    with _only_one(cache / "lock"):
        wanting = _wanting(jars, cache)  # another process may have fetched them while this one waited
        if wanting:
            say(f"fetching {len(wanting)} of {len(jars)} jars for {jars[0].coordinate} (needed once per machine)")
            _fetch_all(wanting, cache, say)
    return paths


def _wanting(jars: list[LockedJar], cache: Path) -> list[LockedJar]:
    return [jar for jar in jars if _sha256(cache / jar.file_name) != jar.sha256]


def _fetch_all(jars: list[LockedJar], cache: Path, say: Say) -> None:
    staging = cache / "staging"
    shutil.rmtree(staging, ignore_errors=True)  # a killed download's remains; jgo refuses to overwrite a file
    try:
        with ThreadPoolExecutor(_PARALLEL_DOWNLOADS) as pool:
            tasks = [pool.submit(_fetch_one, jar, cache, staging) for jar in jars]
            try:
                for done, task in enumerate(as_completed(tasks), 1):
                    task.result()
                    if done % _PROGRESS_EVERY == 0:
                        say(f"{done} of {len(jars)} jars fetched")
            finally:
                pool.shutdown(cancel_futures=True)  # after the first failure the others need not be tried
    except OSError as error:
        if error.errno == 28:  # ENOSPC
            raise DiskFull(f"no space left in {cache} for Kafka's jars (50 MB): free some, then start again") from error
        raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _fetch_one(jar: LockedJar, cache: Path, staging: Path) -> None:
    settings = GlobalSettings.load()
    for context in _sources(settings, staging):
        try:
            path = _resolve(context, jar)
        except (requests.RequestException, RuntimeError) as error:
            lacking = isinstance(error, RuntimeError)  # how jgo says that no repository answered 200
            reason = "no Maven repository offers it" if lacking else "the Maven repository cannot be reached"
            raise JarsUnavailable(
                f"{jar.coordinate} cannot be fetched: {reason} ({type(error).__name__}). Check the network,"
                f" HTTPS_PROXY, and the [repositories] of jgo's configuration; or copy the folder {cache} from a"
                " machine that has started k2x before; or configure kafka.bootstrap to use a broker of your own"
            ) from error
        found = _sha256(path)
        if found == jar.sha256:
            partial = cache / (jar.file_name + ".part")
            shutil.copyfile(path, partial)
            partial.replace(cache / jar.file_name)
            return
    raise JarSumDiffers(
        f"{jar.coordinate}: its SHA-256 is {found}, the lock demands {jar.sha256}. It is not used. A proxy or mirror"
        " may have changed the file: fetch from another repository (jgo's [repositories]); never edit the lock to fit"
    )


def _sources(settings: GlobalSettings, staging: Path) -> list[MavenContext]:
    """The local Maven repository first, then, should its copy be damaged, the remote ones alone."""
    return [
        MavenContext(repo_cache=staging, local_repos=local, remote_repos=_remote(settings), timeout=_HTTP_TIMEOUT_S)
        for local in ([Path(settings.repo_cache)], [])
    ]


def _remote(settings: GlobalSettings) -> dict[str, str]:
    """The configured repositories first, then Maven Central unless one of them is named `central` in its place."""
    return {**settings.repositories, "central": settings.repositories.get("central", MAVEN_CENTRAL_URL)}


def _resolve(context: MavenContext, jar: LockedJar) -> Path:
    """A local path of the jar, downloaded if need be. Raises requests' errors, or jgo's RuntimeError."""
    artifact = context.project(jar.group, jar.artifact).at_version(jar.version).artifact(jar.classifier, jar.packaging)
    for pause in (*_PAUSES_S, None):
        try:
            path: Path = artifact.resolve()
            return path
        except requests.RequestException:
            if pause is None:
                raise
            if artifact.cached_path is not None:  # jgo would take the part it has got for the whole
                artifact.cached_path.unlink(missing_ok=True)
            time.sleep(pause)
    raise AssertionError("unreachable: the last try returns or raises")


def _sha256(path: Path) -> str | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Holds an exclusive lock on `path` among processes; waits for it."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_lock(coordinates: tuple[str, ...], path: Path, comment: str) -> int:
    """Resolves `coordinates` with everything they need at run time and writes the lock; returns the number of jars."""
    settings = GlobalSettings.load()
    context = MavenContext(
        repo_cache=Path(settings.repo_cache),
        remote_repos=_remote(settings),
        timeout=_HTTP_TIMEOUT_S,
    )
    inputs, transitive = context.resolver.resolve([context.create_dependency(c) for c in coordinates])
    needed = [d.artifact for d in inputs] + [d.artifact for d in transitive if d.scope in ("compile", "runtime")]
    lines = [f"# {line}" for line in comment.splitlines()]
    for artifact in needed:
        parts = [artifact.groupId, artifact.artifactId, artifact.version]
        coordinate = ":".join(parts + ([artifact.classifier] if artifact.classifier else []))
        lines.append(f"{coordinate} {_sha256(artifact.resolve())}")
    path.write_text("\n".join(lines) + "\n")
    return len(needed)


if __name__ == "__main__":
    count = write_lock(
        KAFKA_COORDINATES,
        LOCK,
        "The class path of the embedded Kafka: group:artifact:version[:classifier] sha256\n"
        "Written by `python -m k2x.embedded.jars`; checked before every start.",
    )
    print(f"{LOCK}: {count} jars")
