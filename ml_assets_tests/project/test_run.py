"""`deploy/run` sets up once, again when something changed, anew after a crash, and says what is missing.

The interpreter is a stand-in: it answers as Python does, makes an environment of a few shell scripts, and writes down
what pip was asked for. What pip really installs is tried by CI on a new machine.
"""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

STAND_IN = """\
#!/bin/sh
# $0 is the interpreter; the words in capitals are filled in by the test.
case "$1 $2" in
    "-VV "*) echo "Python VERSION (stand-in)" ;;
    "-V "*) echo "Python VERSION" ;;
    "-c "*) exec PYTHON "$@" ;;
    "-m venv")
        echo venv >>CALLS
        rm -rf "$4"
        mkdir -p "$4/bin"
        cp "$0" "$4/bin/python"
        for tool in ml-assets pytest ruff mypy lint-imports deptry shellcheck; do
            {
                echo '#!/bin/sh'
                echo 'echo "${0##*/} in $PWD, home ${ML_ASSETS_HOME:-unset}:" "$@"'
                echo 'exit ${FAIL:-0}'
            } >"$4/bin/$tool"
            chmod +x "$4/bin/$tool"
        done
        ;;
    "-m pip")
        for word; do last=$word; done
        echo "pip ${last##*/}" >>CALLS
        echo "Collecting something"
        if [ -e BROKEN ]; then echo "no route to the index"; exit 1; fi
        ;;
    "-m pytest") shift 2; exec "${0%/*}/pytest" "$@" ;;
esac
"""


class Project:
    """A copy of what `deploy/run` reads, in a folder with a space in its name."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.calls_path = root.parent / "calls"
        self.broken = root.parent / "broken"
        (root / "deploy").mkdir(parents=True)
        for path in (ROOT / "pyproject.toml", *(ROOT / "deploy").glob("r*")):
            shutil.copy2(path, root / path.relative_to(ROOT))

    def python(self, name: str = "python3.12", version: str = "3.12.1") -> Path:
        """A stand-in of that name and version, in a folder of its own."""
        path = self.root.parent / f"bin-{version}" / name
        path.parent.mkdir(exist_ok=True)
        text = STAND_IN.replace("VERSION", version).replace("PYTHON", shlex.quote(sys.executable))
        path.write_text(text.replace("CALLS", f"'{self.calls_path}'").replace("BROKEN", f"'{self.broken}'"))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """`deploy/run` from a folder that is not the project's."""
        kept = {"PATH": os.environ["PATH"], "HOME": str(self.root.parent)}
        command = [str(self.root / "deploy/run"), *arguments]
        return subprocess.Popen(
            command,
            cwd=self.root.parent,
            env=kept | environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """The same, to its end."""
        process = self.start(*arguments, **environment)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def calls(self) -> list[str]:
        """What the stand-ins were asked to do since the last question."""
        if not self.calls_path.exists():
            return []
        lines = self.calls_path.read_text().splitlines()
        self.calls_path.unlink()
        return lines


INSTALLS = ["pip requirements-build.txt", "pip requirements.txt", "pip the project"]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project that was never set up."""
    return Project(tmp_path / "the project")


@pytest.fixture
def ready(project: Project) -> Project:
    """A project that is set up with Python 3.12."""
    assert project.run("x", PYTHON=str(project.python())).returncode == 0
    project.calls()
    return project


@pytest.mark.parametrize("path", ["deploy/run", ".ci/run"])
def test_the_scripts_are_executable_and_parse(path: str) -> None:
    """A clone can run them at once; `deploy/run` is plain sh."""
    shell = "bash" if path == ".ci/run" else "sh"
    assert os.access(ROOT / path, os.X_OK)
    subprocess.run([shell, "-n", ROOT / path], check=True)


def test_no_verb_prints_the_verbs(project: Project) -> None:
    """Without a verb nothing is set up."""
    done = project.run()
    assert done.returncode == 2
    assert all(verb in done.stderr for verb in ("demo", "dev", "test", "lint"))
    assert not (project.root / ".venv").exists()


def test_the_first_run_sets_up_and_the_second_does_not(project: Project) -> None:
    """Environment, build tools, packages, project; then nothing."""
    python = str(project.python())
    assert project.run("trace", "late arrival/3", PYTHON=python).returncode == 0
    assert project.calls() == ["venv", *INSTALLS]
    done = project.run("trace", "late arrival/3", PYTHON=python)
    assert project.calls() == []
    assert done.stdout.strip().endswith("trace late arrival/3")
    assert done.stderr == ""


def test_a_finished_set_up_needs_no_python_on_path(ready: Project) -> None:
    """The environment's own interpreter is enough."""
    assert ready.run("x").returncode == 0
    assert ready.calls() == []


@pytest.mark.parametrize("name", ["pyproject.toml", "deploy/requirements.txt", "deploy/requirements-build.txt"])
def test_a_changed_input_installs_again_in_place(ready: Project, name: str) -> None:
    """New locks reach the environment that is there; it is not made anew."""
    with (ready.root / name).open("a") as file:
        file.write("# changed\n")
    assert ready.run("x", PYTHON=str(ready.python())).returncode == 0
    assert ready.calls() == INSTALLS


def test_another_python_makes_the_environment_anew(ready: Project) -> None:
    """Packages of one Python are no use to another."""
    assert ready.run("x", PYTHON=str(ready.python("python3.13", "3.13.0"))).returncode == 0
    assert ready.calls() == ["venv", *INSTALLS]


def test_a_moved_project_makes_the_environment_anew(ready: Project) -> None:
    """Environments hold absolute paths."""
    ready.root = ready.root.rename(ready.root.with_name("elsewhere"))
    assert ready.run("x", PYTHON=str(ready.python())).returncode == 0
    assert ready.calls() == ["venv", *INSTALLS[:2], "pip elsewhere"]


def test_spark_has_its_own_lock(ready: Project) -> None:
    """Asking for the Spark engine installs Spark, and nothing else does."""
    assert ready.run("x", PYTHON=str(ready.python()), ML_ASSETS_ENGINE="spark").returncode == 0
    assert ready.calls() == [INSTALLS[0], "pip requirements-spark.txt", INSTALLS[2]]


def test_spark_has_its_jars_before_anything_starts(ready: Project) -> None:
    """They are looked after in the state folder of the verb; a failure there ends it. The lake needs none."""
    environment = {"PYTHON": str(ready.python()), "ML_ASSETS_ENGINE": "spark"}
    here, home = ready.root.parent, ready.root / ".ml_assets"
    done = ready.run("demo", **environment)
    assert done.stderr.endswith(f"ml-assets in {here}, home {home}: spark jars\n")
    assert done.stdout == f"ml-assets in {here}, home {home}: demo\n"
    failed = ready.run("demo", FAIL="1", **environment)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert ready.run("lake", "status", **environment).stderr == ""


def test_a_failed_set_up_says_why_and_starts_anew(project: Project) -> None:
    """Half an environment is never taken for a whole one."""
    python = str(project.python())
    project.broken.touch()
    done = project.run("x", PYTHON=python)
    assert done.returncode == 1
    assert "no route to the index" in done.stderr
    assert "needs a package index" in done.stderr
    assert project.calls() == ["venv", INSTALLS[0]]
    project.broken.unlink()
    assert project.run("x", PYTHON=python).returncode == 0
    assert project.calls() == ["venv", *INSTALLS]


def test_a_failed_change_starts_anew(ready: Project) -> None:
    """An installation that stopped halfway may have left anything behind."""
    python = str(ready.python())
    (ready.root / "pyproject.toml").write_text("# changed\n")
    ready.broken.touch()
    assert ready.run("x", PYTHON=python).returncode == 1
    ready.calls()
    ready.broken.unlink()
    assert ready.run("x", PYTHON=python).returncode == 0
    assert ready.calls() == ["venv", *INSTALLS]


def test_two_first_runs_set_up_once(project: Project) -> None:
    """The second waits for the first, and finds everything done."""
    python = str(project.python())
    both = [project.start("x", PYTHON=python) for _ in range(2)]
    for process in both:
        process.communicate(timeout=60)
    assert [process.returncode for process in both] == [0, 0]
    assert project.calls() == ["venv", *INSTALLS]


def bare_path(project: Project) -> Path:
    """A folder with the few tools that every system has, and no Python."""
    folder = project.root.parent / "bare"
    folder.mkdir()
    for tool in ("awk", "cat", "cksum", "dirname", "rm", "sh", "tail"):
        found = shutil.which(tool)
        assert found is not None
        (folder / tool).symlink_to(found)
    return folder


def test_no_python_is_said(project: Project) -> None:
    """Which versions are fine, and what was looked for."""
    done = project.run("demo", PATH=str(bare_path(project)))
    assert done.returncode == 1
    assert "needs Python 3.11, 3.12 or 3.13" in done.stderr
    assert "python3.13" in done.stderr


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo is 3.10.13; exit 1", "python3 is 3.10.13"),
        ("echo Traceback; echo cannot make environments; exit 1", "python3 cannot make environments"),
        ("echo no such version; exit 127", "python3 no such version"),
    ],
    ids=["too old", "without venv", "broken shim"],
)
def test_an_unfit_python_is_said_with_its_reason(project: Project, script: str, reason: str) -> None:
    """A Python that is there but of no use is named, with the last line that it had to say."""
    folder = bare_path(project)
    (folder / "python3").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "python3").chmod(0o755)
    done = project.run("demo", PATH=str(folder))
    assert done.returncode == 1
    assert reason in done.stderr


def test_a_missing_lock_is_said(project: Project) -> None:
    """Its name, before anything is set up."""
    (project.root / "deploy/requirements.txt").unlink()
    done = project.run("x", PYTHON=str(project.python()))
    assert done.returncode == 1
    assert "requirements.txt is missing" in done.stderr
    assert project.calls() == []


def test_verbs_of_ml_assets_stay_where_they_are_called(ready: Project) -> None:
    """Paths in arguments are the caller's, the state folder is the project's."""
    done = ready.run("demo", "--to", "a b")
    here, home = ready.root.parent, ready.root / ".ml_assets"
    assert done.stdout == f"ml-assets in {here}, home {home}: demo --to a b\n"
    assert "home /elsewhere:" in ready.run("demo", ML_ASSETS_HOME="/elsewhere").stdout


def test_test_hands_its_arguments_to_pytest(ready: Project) -> None:
    """From the project's folder, without touching the state that people work with."""
    done = ready.run("test", "-k", "a b")
    assert done.stdout == f"pytest in {ready.root}, home unset: -k a b\n"


def test_lint_runs_every_check_and_fails_with_any(ready: Project) -> None:
    """One failing check does not hide the next, and none fails silently."""
    done = ready.run("lint")
    assert done.returncode == 0
    checks = [line.split(" in ")[0] for line in done.stdout.splitlines()]
    assert checks == ["ruff", "ruff", "mypy", "lint-imports", "deptry", "shellcheck", "ml-assets"]
    failed = ready.run("lint", FAIL="1")
    assert failed.returncode == 1
    assert failed.stdout == done.stdout


def test_the_exit_code_is_the_verbs(ready: Project) -> None:
    """What `ml-assets` says is what the caller gets."""
    assert ready.run("x", FAIL="3").returncode == 3
