"""Many seeds, on many processors: each in a world of its own."""

from __future__ import annotations

import importlib
import os
import shutil
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.util import Finalize
from pathlib import Path

from greentrip.distance.rail import Network
from greentrip.testing.simulator.backend import Backend
from greentrip.testing.simulator.chance import seeded_process
from greentrip.testing.simulator.profiles import Profile
from greentrip.testing.simulator.report import Report, SeedResult
from greentrip.testing.simulator.world import World

MEMORY = Path("/dev/shm")  # noqa: S108 - no secret goes there
"""Where Linux keeps files in memory. Phones flush every commit, and nothing of it has to outlive the process."""
CHUNK_SEEDS = 20


def simulate(
    seeds: Iterable[int], profile: Profile, backend: Backend, *, keep_trace: bool = False
) -> Iterator[SeedResult]:
    """Run one world a seed, on one backend, in this process. Same seed, same world: a failing one replays exactly.

    While it runs, whatever this process draws from the system's randomness is foreseeable.
    """
    rails = Network.sample()
    folder = Path(tempfile.mkdtemp(prefix="greentrip-", dir=MEMORY if MEMORY.is_dir() else None))
    try:
        for seed in seeds:
            place = folder / str(seed)
            with seeded_process(seed):
                result = _live(World(seed, profile, backend, place, rails))
            shutil.rmtree(place, ignore_errors=True)
            yield result if keep_trace or result.violations else replace(result, trace=())
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _live(world: World) -> SeedResult:
    """Run a world; one that breaks is a failed seed, and the others go on."""
    try:
        return world.run()
    except Exception:
        world.violate(f"the simulation broke: {traceback.format_exc()}")
        return world.result([])


def run(
    first: int, seeds: int, profile: Profile, backend: str, *, processes: int, progress: Callable[[Report], None]
) -> Report:
    """Run seeds `first` to `first + seeds - 1` in so many processes; `backend` names a class, as `module:Class`."""
    report = Report(profile.name)
    began = time.perf_counter()
    chunks = [range(at, min(at + CHUNK_SEEDS, first + seeds)) for at in range(first, first + seeds, CHUNK_SEEDS)]
    # A new interpreter each: what this process has imported, opened and patched is not theirs.
    with ProcessPoolExecutor(
        processes, mp_context=get_context("spawn"), initializer=_prepare, initargs=(backend,)
    ) as pool:
        for done in as_completed([pool.submit(_run_chunk, chunk, profile) for chunk in chunks]):
            for result in done.result():
                report.add(result)
            report.seconds = time.perf_counter() - began
            progress(report)
    return report


def backend_class(name: str) -> Callable[[], Backend]:
    """The class of a backend, named as `module:Class`. Raises `ValueError` when there is none."""
    module, _, kind = name.partition(":")
    try:
        found: Callable[[], Backend] = getattr(importlib.import_module(module), kind)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"no backend {name!r}: give module:Class ({error})") from None
    return found


def processors() -> int:
    """How many processes can run at once."""
    return os.cpu_count() or 1


_backend: Backend | None = None  # of this worker process


def _prepare(name: str) -> None:
    global _backend
    _backend = backend_class(name)()
    # Registered exit functions do not run in the processes of a pool; this one does.
    Finalize(None, _backend.end, exitpriority=10)


def _run_chunk(seeds: range, profile: Profile) -> list[SeedResult]:
    if _backend is None:
        raise RuntimeError("the worker was not prepared")
    return list(simulate(seeds, profile, _backend))
