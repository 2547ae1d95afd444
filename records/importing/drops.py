"""Where feeds leave their files: a folder for each source, from which the worker takes what is complete.

    <FEEDS_DIR>/<source>/…            what arrives, at any depth
    <FEEDS_DIR>/<source>/.importing/  what an import has taken; one that was killed goes on with it
    <FEEDS_DIR>/<source>/.done/       what was imported, until it is swept away

A file is complete when its name says so (no leading dot, no ending of a transfer under way) and nothing has touched it
for a while: writing under another name and renaming is best, and slow copies are safe, too.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS
from django.utils import timezone

from records.importing.running import import_files
from records.importing.storing import only_import_of
from records.models import Import, Source

UNDER_WAY = (".part", ".partial", ".filepart", ".tmp", ".crdownload", ".upload")
QUIET_SECONDS = 10
"""How long nothing may have touched a file before it is taken."""
KEPT = timedelta(days=14)
"""How long what was imported is kept: the records have it, this is for looking closer at a feed."""
LONGEST_PAUSE = timedelta(hours=1)


def folder(source: Source) -> Path:
    return Path(settings.FEEDS_DIR) / source.name


def waiting(source: Source) -> list[Path]:
    """The complete files that nobody has taken yet."""
    root = folder(source)
    if not root.is_dir():
        return []
    return sorted(path for path in root.rglob("*") if is_complete(path, root))


def is_complete(path: Path, root: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
    if hidden or path.name.lower().endswith(UNDER_WAY) or path.is_symlink() or not path.is_file():
        return False
    try:
        stat = path.stat()
    except FileNotFoundError:  # renamed or removed just now
        return False
    now = time.time()
    touched = stat.st_mtime if stat.st_mtime <= now else stat.st_ctime  # copied with a time from a wrong clock
    return now - touched >= QUIET_SECONDS


def left_over(source: Source) -> list[Path]:
    """Folders that imports have taken and not finished, the oldest first."""
    return sorted(path for path in folder(source).glob(".importing/*") if path.is_dir())


UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def put(source: Source, name: str, chunks: Iterable[bytes]) -> Path:
    """Write a file into the source's folder; it is on the disk when this returns.

    Its name keeps what is harmless of `name` and tells its content: the same file again is the same file, so what is
    rejected of it is not rejected twice.
    """
    root = folder(source)
    root.mkdir(parents=True, exist_ok=True)
    draft = root / f".upload-{uuid.uuid4().hex}"
    digest = hashlib.sha256()
    try:
        with draft.open("xb") as file:
            draft.chmod(0o640)
            for chunk in chunks:
                file.write(chunk)
                digest.update(chunk)
            file.flush()
            os.fsync(file.fileno())
        path = root / f"upload-{digest.hexdigest()[:12]}-{UNSAFE.sub('-', name)[-80:].lstrip('.')}"
        path = path.with_name(path.name + ".file") if path.name.lower().endswith(UNDER_WAY) else path
        draft.rename(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    keep_names_of(root)
    return path


def keep_names_of(root: Path) -> None:
    """Bring to the disk which files are in a folder."""
    handle = os.open(root, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def has_work(source: Source) -> bool:
    return bool(left_over(source) or waiting(source))


def take_what_arrived(source: Source, *, using: str = DEFAULT_DB_ALIAS) -> list[Import]:
    """Import what lies in the source's folder, then move it aside. Raises storing.AlreadyRunning, storing.Stopped.

    Files are moved before they are read, so that one which is sent again under its name meanwhile is not lost.
    """
    runs = []
    with only_import_of(source, using=using):
        claim(source)
        for taken in left_over(source):
            runs.append(import_files(source, [taken], using=using).run)
            put_aside(taken, source)
    sweep(source)
    return runs


def claim(source: Source) -> None:
    files = waiting(source)
    root = folder(source)
    into = root / ".importing" / timezone.now().strftime("%Y%m%dT%H%M%S.%f")
    for path in files:
        target = into / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)


def put_aside(taken: Path, source: Source) -> None:
    done = folder(source) / ".done"
    done.mkdir(exist_ok=True)
    taken.rename(done / taken.name)


def sweep(source: Source) -> None:
    """Remove what was imported long ago."""
    oldest = (timezone.now() - KEPT).strftime("%Y%m%d")
    for path in (folder(source) / ".done").glob("*"):
        if path.name < oldest:
            shutil.rmtree(path, ignore_errors=True)


def is_pausing(source: Source, *, using: str = DEFAULT_DB_ALIAS) -> bool:
    """Whether the last imports failed: then the next try waits, longer each time, since the cause may stay."""
    failures = 0
    last = None
    for run in Import.objects.using(using).filter(source=source).order_by("-started_at")[:10]:
        if not run.failed:
            break
        last = last or run.started_at
        failures += 1
    return last is not None and timezone.now() < last + min(timedelta(seconds=30) * 2**failures, LONGEST_PAUSE)
