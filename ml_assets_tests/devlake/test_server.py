"""The life of the server: started once for all, found again after anything, and stopped when asked."""

from __future__ import annotations

import base64
import contextlib
import http.client
import itertools
import json
import os
import random
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from ml_assets.lib.core.errors import ConfigError, LakeError, LakeUnavailable
from ml_assets.lib.core.process import Process
from ml_assets.lib.devlake.credentials import FILE, KEY_VARIABLE, SECRET_VARIABLE, Credentials
from ml_assets.lib.devlake.server import Endpoint, ensure, serve, status, stop
from ml_assets.lib.devlake.state import ServerState
from ml_assets_tests.devlake.wire import Wire

ENSURE = """
import sys
from pathlib import Path
from ml_assets.lib.devlake.server import ensure
print(ensure(Path(sys.argv[1])).url, flush=True)
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state folder without keys from outside; its server is stopped in the end."""
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    monkeypatch.delenv(SECRET_VARIABLE, raising=False)
    yield tmp_path
    stop(tmp_path)


def pid_of(home: Path) -> int:
    """The process that serves *home*."""
    pid = status(home).pid
    assert pid is not None
    return pid


def in_other_processes(home: Path, count: int) -> list[str]:
    """The URLs that *count* processes get which ask at once."""
    command = [sys.executable, "-c", ENSURE, str(home)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    return [process.communicate()[0].strip() for process in processes]


def test_many_at_once_get_one_server(home: Path) -> None:
    """Processes and threads that ask at the same time share one server, and it outlives those that started it."""
    with ThreadPoolExecutor(4) as threads:
        here = [threads.submit(ensure, home) for _ in range(4)]
        urls = {*in_other_processes(home, 4), *(endpoint.result().url for endpoint in here)}
    assert len(urls) == 1
    assert (home / "lake.log").read_text().count("serving") == 1
    assert ensure(home).url in urls


def test_it_survives_its_starter(home: Path) -> None:
    """The server is in a session of its own and goes on when the process that started it has ended."""
    [url] = in_other_processes(home, 1)
    assert os.getsid(pid_of(home)) == pid_of(home)
    assert ensure(home).url == url


def test_kill_9_then_the_same_port_and_data(home: Path) -> None:
    """After a kill -9 the next use starts a server with the same data at the same address."""
    endpoint = ensure(home)
    _make_repository(endpoint, "one")
    before = pid_of(home)
    os.kill(before, signal.SIGKILL)
    _wait_until_gone(before)
    assert ensure(home) == endpoint
    assert pid_of(home) != before
    assert status(home).repositories == ("one",)


def test_nothing_acknowledged_is_lost(home: Path) -> None:
    """Whenever the server is killed, every object that was acknowledged is there afterwards, and none is half."""
    _make_repository(ensure(home), "one")
    content: dict[str, bytes] = {}
    for round_ in range(4):
        endpoint = ensure(home)
        killer = threading.Timer(0.05 * (round_ + 1), os.kill, (pid_of(home), signal.SIGKILL))
        with contextlib.closing(Wire(endpoint)) as wire, contextlib.suppress(OSError, http.client.HTTPException):
            for number in itertools.count():
                key, data = f"main/{round_}-{number}", os.urandom(random.Random(number).choice([10, 1000, 2_000_000]))
                content[key] = b""  # not acknowledged yet: may be there or not
                if wire.s3("PUT", f"/one/{key}", body=data, mode="unsigned").status == 200:
                    content[key] = data
                if number == 0:
                    killer.start()
        killer.join()
    assert any(content.values())
    with contextlib.closing(Wire(ensure(home))) as wire:
        for key, data in content.items():
            read = wire.s3("GET", f"/one/{key}")
            assert read.body == data if data else read.status in (200, 404)


def test_one_that_nobody_buries_is_gone(home: Path) -> None:
    """A killed server whose parent does not ask for it stays in the process table; it is not taken for a living one."""
    command = [sys.executable, "-c", f"{ENSURE}\nimport time\ntime.sleep(600)", str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as starter:
        assert starter.stdout is not None
        try:
            starter.stdout.readline()
            starter.send_signal(signal.SIGSTOP)
            dead = pid_of(home)
            os.kill(dead, signal.SIGKILL)
            while psutil.Process(dead).status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.01)
            ensure(home)
            assert psutil.Process(dead).status() == psutil.STATUS_ZOMBIE
            assert pid_of(home) != dead
        finally:
            starter.kill()


def test_a_taken_port_is_not_waited_for(home: Path) -> None:
    """If somebody else has taken the remembered port, the server comes up at another one."""
    first = ensure(home)
    stop(home)
    port = int(first.url.rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)):
        assert ensure(home).url != first.url


def test_a_reused_pid_is_not_the_server(home: Path) -> None:
    """A state whose pid belongs to another process by now is stale: that process is left alone."""
    here = Process.here()
    other = Process(here.host, here.pid, here.started - 3600)
    ServerState(url="http://127.0.0.1:1", process=other, root=home / "lake").write(home)
    assert status(home).pid is None
    assert stop(home) is None
    ensure(home)
    assert pid_of(home) != here.pid


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"url": "http://127.0.0.1:1"}', '{"url": 1, "process": {}, "root": 1}']
)
def test_a_damaged_state_is_no_state(home: Path, content: str) -> None:
    """Whatever is in the state file, the lake comes up."""
    (home / "lake.json").write_text(content)
    assert ensure(home).url == status(home).url


def test_stop_says_what_it_did(home: Path) -> None:
    """Stopping ends the server cleanly and tells its pid; stopping again tells that there was none."""
    ensure(home)
    server = psutil.Process(pid_of(home))
    assert stop(home) == server.pid
    server.wait(10)  # until whoever adopted it has noticed
    assert stop(home) is None
    assert (home / "lake.log").read_text().rstrip().endswith("stopped")


def test_status(home: Path) -> None:
    """Status tells endpoint, pid, root, repositories and size, and starts nothing by itself."""
    nothing = status(home)
    assert (nothing.url, nothing.pid, nothing.repositories, nothing.size_bytes) == (None, None, (), 0)
    endpoint = ensure(home)
    for name in ("one", "two"):
        _make_repository(endpoint, name)
    small = status(home)
    wire = Wire(endpoint)
    assert wire.s3("PUT", "/one/main/a", body=os.urandom(100_000)).status == 200
    wire.close()
    large = status(home)
    assert large.repositories == ("one", "two")
    assert (large.url, large.root) == (endpoint.url, home / "lake")
    assert large.size_bytes >= small.size_bytes + 100_000


def test_two_servers_never_share_a_root(home: Path) -> None:
    """Even with the state file gone, a second server on the same data is refused, and says why."""
    ensure(home)
    state = (home / "lake.json").read_bytes()
    (home / "lake.json").unlink()
    with pytest.raises(LakeUnavailable, match="another server holds"):
        ensure(home)
    with pytest.raises(LakeError, match="another server holds"):
        serve(home / "lake", Credentials.load(home))
    (home / "lake.json").write_bytes(state)


def test_a_custom_root_is_remembered(home: Path, tmp_path: Path) -> None:
    """Once served from another folder, the lake is started from there again."""
    root = tmp_path / "elsewhere"
    ServerState(url="http://127.0.0.1:0", process=Process("gone", 1, 0.0), root=root).write(home)
    ensure(home)
    assert status(home).root == root
    assert (root / "lake.db").exists()


def test_why_it_does_not_come_up(home: Path) -> None:
    """A server that cannot start is reported with the end of its log."""
    (home / "lake").write_text("not a folder")
    with pytest.raises(LakeUnavailable, match=r"(?s)ended with code 1.*FileExistsError"):
        ensure(home)


def test_keys_from_outside(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys of the environment are used, reach the server, and are not written anywhere."""
    monkeypatch.setenv(KEY_VARIABLE, "AKIAEXAMPLE")
    monkeypatch.setenv(SECRET_VARIABLE, "a-secret-from-outside")
    endpoint = ensure(home)
    assert endpoint.access_key_id == "AKIAEXAMPLE"
    _make_repository(endpoint, "one")
    assert not (home / FILE).exists()
    assert "a-secret-from-outside" not in "".join(_command_line(home)) + (home / "lake.log").read_text()
    monkeypatch.setenv(SECRET_VARIABLE, "another")
    with pytest.raises(ConfigError, match="other keys"):
        ensure(home)


def test_half_a_key_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the two variables alone is a mistake."""
    monkeypatch.setenv(KEY_VARIABLE, "AKIAEXAMPLE")
    with pytest.raises(ConfigError, match="only one of"):
        ensure(home)


def test_made_keys_are_kept_and_hidden(home: Path) -> None:
    """Keys are made once, readable by the owner only, and shown neither in text nor in the process table."""
    endpoint = ensure(home)
    secret = endpoint.secret_access_key.get_secret_value()
    assert stat.S_IMODE((home / FILE).stat().st_mode) == 0o600
    assert json.loads((home / FILE).read_text())["secret_access_key"] == secret
    assert secret not in repr(endpoint) + repr(Credentials.load(home)) + "".join(_command_line(home))
    assert secret not in (home / "lake.log").read_text() + (home / "lake.json").read_text()
    assert sorted(path.name for path in home.iterdir()) == [
        "lake", "lake-credentials.json", "lake.json", "lake.lock", "lake.log"
    ]  # fmt: skip


def test_made_keys_look_like_those_of_lakefs(home: Path) -> None:
    """`lakectl doctor` calls others suspicious."""
    made = Credentials.load(home)
    secret = made.secret_access_key.get_secret_value()
    assert re.fullmatch("AKIA[IJ][A-Z0-9]{14}Q", made.access_key_id)
    assert len(secret) == 40
    assert base64.b64decode(secret, validate=True)


def test_racing_processes_make_one_key(home: Path) -> None:
    """Whoever is first makes the keys; all others get the same."""
    with ThreadPoolExecutor(16) as threads:
        keys = {threads.submit(Credentials.load, home).result().access_key_id for _ in range(64)}
    assert len(keys) == 1
    assert [path.name for path in home.iterdir()] == [FILE]


@pytest.mark.parametrize(("mode", "content"), [(0o644, None), (0o600, "{}"), (0o600, "no JSON"), (0o600, "[]")])
def test_keys_that_cannot_be_trusted(home: Path, mode: int, content: str | None) -> None:
    """A key file that others can read, or that is damaged, is refused with a remedy and without its content."""
    secret = Credentials.load(home).secret_access_key.get_secret_value()
    if content is not None:
        (home / FILE).write_text(content)
    (home / FILE).chmod(mode)
    with pytest.raises(ConfigError) as refused:
        Credentials.load(home)
    assert secret not in str(refused.value)


def test_a_warning_off_loopback(home: Path) -> None:
    """Listening for the whole network is allowed, and warned about."""
    module = "ml_assets.lib.devlake.server"
    server = subprocess.Popen(
        [sys.executable, "-m", module, "--home", str(home), "--host", "0.0.0.0"], stderr=subprocess.PIPE, text=True
    )
    try:
        state = _wait_for_state(home)
        assert state.url.startswith("http://127.0.0.1:")
        server.send_signal(signal.SIGINT)
        _, log = server.communicate(timeout=30)
    finally:
        server.kill()
    assert "not on loopback" in log
    assert server.returncode == 0


def test_an_unusable_address(home: Path) -> None:
    """A port that is taken is an error that names it, for those who asked for that very port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LakeError, match=f"cannot listen on 127.0.0.1:{port}"):
            serve(home / "lake", Credentials.load(home), port=port)


def _make_repository(endpoint: Endpoint, name: str) -> None:
    wire = Wire(endpoint)
    created = wire.rest("POST", "/repositories", json_body={"name": name, "storage_namespace": f"local://{name}"})
    wire.close()
    assert created.status == 201


def _command_line(home: Path) -> list[str]:
    return psutil.Process(pid_of(home)).cmdline()


def _wait_until_gone(pid: int) -> None:
    while psutil.pid_exists(pid):
        time.sleep(0.01)


def _wait_for_state(home: Path) -> ServerState:
    while (state := ServerState.read(home)) is None:
        time.sleep(0.01)
    return state
