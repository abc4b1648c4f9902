"""The life of the embedded lake: started once for all processes, found again, asked, stopped.

`ensure` is what clients call: the first starts the server, detached, and everybody gets the same endpoint. Which server
runs is written in ``lake.json`` of the state folder; that it runs is never believed without asking the process table
and the server itself. A server holds a lock on its root for as long as it lives, so two never share one, whatever the
files say.

``python -m ml_assets.lib.devlake.server --home H`` is the server itself, in the foreground.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ipaddress
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from filelock import FileLock, Timeout
from pydantic import SecretStr

from ml_assets.lib.core.errors import LakeError, LakeUnavailable, MLAssetsError
from ml_assets.lib.core.process import Process
from ml_assets.lib.devlake import probe
from ml_assets.lib.devlake.credentials import Credentials
from ml_assets.lib.devlake.state import ROOT_LOCK, ServerState

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp

START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 30.0
THREADS: Final = 48
"""Blocking calls at a time. Most of them wait for the disk together (group commit), so more than there are cores."""

MODULE: Final = "ml_assets.lib.devlake.server"
_LOG: Final = logging.getLogger(MODULE)
_LOCK_FILE: Final = "lake.lock"
_LOG_FILE: Final = "lake.log"
ROOT_FOLDER: Final = "lake"
_KEEP_ALIVE_S: Final = 3600
"""Clients keep connections for long, and one that is closed just as it is used again costs them an error."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the lake answers, and the keys that open it. The secret is hidden in ``repr``."""

    url: str
    access_key_id: str
    secret_access_key: SecretStr


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What is known about the lake of a state folder.

    Attributes:
        url: Where it answers, or answered last; ``None`` if it never ran.
        pid: Of the running server; ``None`` if it does not run.
        root: Folder with the lake's data.
        repositories: Their names; empty if the server does not run.
        size_bytes: Of all files below *root*.
    """

    url: str | None
    pid: int | None
    root: Path
    repositories: tuple[str, ...]
    size_bytes: int


Beside = Callable[[Endpoint], Mapping[str, "ASGIApp"]]
"""Applications that answer beside the lake, by path. Made when it is known where the lake is."""


def ensure(home: Path, module: str = MODULE) -> Endpoint:
    """The endpoint of the lake of the state folder *home*, whose server runs and answers.

    Whoever comes first starts the server; it outlives its starter. Safe to call from any number of processes at once.

    Args:
        home: The state folder.
        module: Whose :func:`main` serves, if nobody does yet.

    Raises:
        ConfigError: The server that runs was started with other keys.
        LakeUnavailable: The server does not come up; the message ends with what it logged.
    """
    home = home.resolve()
    home.mkdir(parents=True, exist_ok=True)
    credentials = Credentials.load(home)
    state = _running(home)
    if state is None or not probe.is_healthy(state.url):
        state = _start_once(home, module)
    probe.check_keys(state.url, credentials)
    return Endpoint(state.url, credentials.access_key_id, credentials.secret_access_key)


def status(home: Path) -> Status:
    """What is known about the lake of *home*; starts nothing.

    Raises:
        ConfigError: The server that runs was started with other keys.
        LakeUnavailable: It runs, but does not answer.
    """
    home = home.resolve()
    state, running = ServerState.read(home), _running(home)
    root = root_of(home)
    return Status(
        url=state.url if state is not None else None,
        pid=running.process.pid if running is not None else None,
        root=root,
        repositories=tuple(probe.repositories(running.url, Credentials.load(home))) if running is not None else (),
        size_bytes=sum(_size(Path(folder, name)) for folder, _, names in os.walk(root) for name in names),
    )


def root_of(home: Path) -> Path:
    """Where the lake of *home* has its data, whether it exists yet or not."""
    state = ServerState.read(home)
    return state.root if state is not None else home.resolve() / ROOT_FOLDER


def stop(home: Path) -> int | None:
    """End the server of *home* and wait until it is gone.

    Returns:
        The pid it had; ``None`` if none was running.

    Raises:
        LakeError: It does not end.
    """
    state = _running(home.resolve())
    if state is None:
        return None
    with contextlib.suppress(ProcessLookupError):
        os.kill(state.process.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while state.process.is_alive():
        if time.monotonic() > deadline:
            raise LakeError(
                f"the lake's server (pid {state.process.pid}) has not ended after {STOP_TIMEOUT_S:.0f} s",
                remedy=f"look at {home / _LOG_FILE}; `kill -9 {state.process.pid}` loses nothing that was acknowledged",
            )
        time.sleep(0.05)
    return state.process.pid


def _nobody(_endpoint: Endpoint) -> Mapping[str, ASGIApp]:
    return {}


def serve(
    root: Path,
    credentials: Credentials,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    home: Path | None = None,
    beside: Beside = _nobody,
) -> None:
    """Serve the lake below *root* in the foreground, until SIGTERM or SIGINT. To be called in the main thread.

    Args:
        root: Folder with the lake's data; made if it is missing.
        credentials: The keys that open it.
        host: Address to listen on. Anything but loopback is warned about: there is no TLS.
        port: Port to listen on; 0 for the one that *home* remembers, if it is free, else any free one.
        home: State folder in which other processes find this server.
        beside: What else answers here.

    Raises:
        LakeError: Another server holds *root*, or the address cannot be used.
    """
    root.mkdir(parents=True, exist_ok=True)
    try:
        held = FileLock(root / ROOT_LOCK).acquire(timeout=0)
    except Timeout:
        raise LakeError(f"another server holds {root}", remedy="use that one, or stop it first") from None
    with held, _until_signal(), _listen(host, port, home) as listener:
        url = _url(host, listener.getsockname()[1])
        if not _is_loopback(host):
            _LOG.warning("listening on %s, not on loopback: keys and data cross the network unencrypted", host)
        if home is not None:
            ServerState(url=url, process=Process.here(), root=root.resolve()).write(home)
        _LOG.info("serving %s at %s", root, url)
        others = beside(Endpoint(url, credentials.access_key_id, credentials.secret_access_key))
        _run(root, credentials, listener, others)
    _LOG.info("stopped")


class _Ended(SystemExit):
    """A signal asked the server to end."""


def _run(root: Path, credentials: Credentials, listener: socket.socket, others: Mapping[str, ASGIApp]) -> None:
    """Answer on *listener* until a signal comes."""
    import uvicorn

    from ml_assets.lib.devlake.app import App
    from ml_assets.lib.devlake.memory import keep_freed_memory
    from ml_assets.lib.devlake.protocol import BoundedProtocol
    from ml_assets.lib.devlake.repo import Lake

    keep_freed_memory()
    with contextlib.closing(Lake(root)) as lake:
        server = uvicorn.Server(
            uvicorn.Config(
                App(lake, credentials, others),
                http=BoundedProtocol,
                lifespan="off",
                ws="none",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=10,
            )
        )
        with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
            runner.run(_serve_in_threads(server, listener))


async def _serve_in_threads(server: uvicorn.Server, listener: socket.socket) -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS, "devlake"))
    await server.serve(sockets=[listener])


def _end(*_signal: object) -> None:
    raise _Ended(0)


@contextlib.contextmanager
def _until_signal() -> Iterator[None]:
    """Leave the block at SIGTERM or SIGINT, by unwinding it.

    Uvicorn handles signals while it serves, and raises them again when it is done: they arrive here in either case.
    """
    before = {number: signal.signal(number, _end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with contextlib.suppress(_Ended):
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _listen(host: str, port: int, home: Path | None) -> Iterator[socket.socket]:
    """A listening socket."""
    remembered = ServerState.read(home) if home is not None and port == 0 else None
    ports = [port] if remembered is None else [urlsplit(remembered.url).port or 0, 0]
    for last, candidate in ((candidate == ports[-1], candidate) for candidate in ports):
        try:
            listener = socket.create_server((host, candidate), family=_family(host), backlog=2048)
        except OSError as error:
            if last:
                remedy = "choose another --host or --port"
                raise LakeError(f"cannot listen on {host}:{candidate}: {error.strerror}", remedy=remedy) from error
            continue
        with listener:
            yield listener
        return


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _url(host: str, port: int) -> str:
    """Where clients on this machine reach a server that listens on *host*."""
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not listened on
    return f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _running(home: Path) -> ServerState | None:
    """The state of *home*, if its process lives on this machine. It may still be coming up."""
    state = ServerState.read(home)
    if state is None:
        return None
    # The name of a laptop changes with its network, a pid with its start time does not. Of a server on another machine
    # nobody can tell from here; if it really lives, its lock on the root says so.
    here = replace(state, process=replace(state.process, host=socket.gethostname()))
    return here if here.process.is_alive() else None


def _start_once(home: Path, module: str) -> ServerState:
    """Start the server, or wait for the one that somebody else is starting."""
    lock = home / _LOCK_FILE
    try:
        with FileLock(lock, timeout=2 * START_TIMEOUT_S):
            deadline = time.monotonic() + START_TIMEOUT_S
            while (state := _running(home)) is not None:  # one that was just killed lives a moment longer
                if probe.is_healthy(state.url):
                    return state
                if time.monotonic() > deadline:
                    raise LakeUnavailable(
                        f"the lake's server (pid {state.process.pid}) does not answer at {state.url}",
                        remedy=f"look at {home / _LOG_FILE}, or `ml-assets lake stop` and try again",
                    )
                time.sleep(0.05)
            return _start(home, module)
    except Timeout:
        raise LakeUnavailable(
            "another process has been starting the lake for too long", remedy=f"see who holds {lock}"
        ) from None


def _start(home: Path, module: str) -> ServerState:
    """Start a server that outlives this process, and wait until it answers."""
    log = home / _LOG_FILE
    begin = log.stat().st_size if log.exists() else 0
    process = _spawn(home, log, module)
    deadline = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        state = ServerState.read(home)
        if state is not None and state.process.pid == process.pid and probe.is_healthy(state.url):
            # It is our child until we end: without somebody waiting for it, it would stay in the process table.
            threading.Thread(target=process.wait, name="devlake-reaper", daemon=True).start()
            return state
        time.sleep(0.02)
    problem = "does not answer" if process.poll() is None else f"ended with code {process.returncode}"
    process.kill()
    process.wait()
    with log.open("rb") as stream:
        stream.seek(begin)
        tail = stream.read().decode(errors="replace").strip()[-2000:]
    raise LakeUnavailable(f"the lake's server {problem}", remedy=f"its log {log} ends with:\n{tail}")


def _spawn(home: Path, log: Path, module: str) -> subprocess.Popen[bytes]:
    root = root_of(home)
    project = str(Path(__file__).parents[3])
    path = os.pathsep.join(part for part in (project, os.environ.get("PYTHONPATH")) if part)
    with log.open("ab") as stream:
        return subprocess.Popen(
            [sys.executable, "-m", module, "--home", str(home), "--root", str(root)],
            cwd=home,
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except FileNotFoundError:  # temporary files come and go
        return 0


def main(beside: Beside = _nobody) -> None:
    """Serve in the foreground, as `ensure` starts it, with what else answers here."""
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description="The embedded lake's server.")
    parser.add_argument("--home", type=Path, required=True, help="state folder: keys, lock, state")
    parser.add_argument("--root", type=Path, help="folder with the lake's data; default: lake in the state folder")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; there is no TLS")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0: the one of last time, or any")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    home = arguments.home.resolve()
    root = (arguments.root or home / ROOT_FOLDER).resolve()
    try:
        serve(root, Credentials.load(home), host=arguments.host, port=arguments.port, home=home, beside=beside)
    except MLAssetsError as error:
        sys.exit(f"{error}")


if __name__ == "__main__":
    main()
