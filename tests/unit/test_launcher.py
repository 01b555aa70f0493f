"""The launcher in a copy of its own, with stand-ins for uv and for the environment's Python."""

import json
import runpy
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from compose.embedded.wiring import ROOT

#: Says how it was called, as JSON: what `compose.cli` would see.
PYTHON = f"""#!{sys.executable}
import json, os, sys
names = ("PYTHONPATH", "DARKROOM_HOME")
print(json.dumps({{"arguments": sys.argv[1:], "folder": os.getcwd(),
                  **{{name: os.environ[name] for name in names}}}}))
"""
#: Makes that Python where `uv venv` should, and notes each call.
UV = f"""#!{sys.executable}
import pathlib, shutil, sys
root = pathlib.Path(__file__).parent
with (root / "calls").open("a") as calls:
    calls.write(" ".join(sys.argv[1:]) + "\\n")
if sys.argv[1] == "venv":
    binary = pathlib.Path(sys.argv[-1]) / "bin"
    binary.mkdir(parents=True)
    shutil.copy(root / "python-stand-in", binary / "python")
if sys.argv[1] == "pip" and (root / "broken").exists():
    sys.exit(3)
"""


class Copy:
    def __init__(self, folder: Path) -> None:
        self.root, self.tools = folder / "product", folder / "tools"
        (self.root / "requirements").mkdir(parents=True)
        self.tools.mkdir()
        shutil.copy(ROOT / "darkroom", self.root / "darkroom")
        for name in ("run", "test", "uv"):
            (self.root / "requirements" / f"{name}.txt").write_text(f"{name}==1\n")
        for name, text in (("uv", UV), ("python-stand-in", PYTHON)):
            (self.tools / name).write_text(text)
            (self.tools / name).chmod(0o755)
        self._cache = folder / "cache"

    def run(self, *arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            (sys.executable, str(self.root / "darkroom"), *arguments),
            cwd=cwd,
            env={"PATH": str(self.tools), "DARKROOM_CACHE": str(self._cache), **variables},
            capture_output=True,
            text=True,
            check=False,
        )

    def calls(self) -> list[str]:
        return (self.tools / "calls").read_text().splitlines()

    def installs(self) -> list[str]:
        return [call.rpartition("/")[2] for call in self.calls() if call.startswith("pip install")]


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


def test_the_command_line_runs_where_the_user_is(copy: Copy, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    done = copy.run("generate", "a red circle", "-o", "x.png", cwd=elsewhere)

    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["arguments"] == [
        *("-P", "-m", "compose.cli"),
        *("generate", "a red circle", "-o", "x.png"),
    ]
    assert seen["folder"] == str(elsewhere)
    assert seen["PYTHONPATH"] == str(copy.root)
    assert seen["DARKROOM_HOME"] == str(copy.root / ".darkroom")


def test_a_chosen_home_is_relative_to_where_the_user_is(copy: Copy, tmp_path: Path) -> None:
    done = copy.run("status", cwd=tmp_path, DARKROOM_HOME="mine")

    assert json.loads(done.stdout)["DARKROOM_HOME"] == str(tmp_path / "mine")


def test_the_environment_is_made_once_by_the_hashed_lock(copy: Copy, tmp_path: Path) -> None:
    for _ in range(2):
        copy.run("status", cwd=tmp_path)

    assert copy.installs() == ["run.txt"]
    assert all("--require-hashes" in call for call in copy.calls() if call.startswith("pip"))


def test_a_changed_lock_is_installed(copy: Copy, tmp_path: Path) -> None:
    copy.run("status", cwd=tmp_path)
    (copy.root / "requirements" / "run.txt").write_text("run==2\n")
    copy.run("status", cwd=tmp_path)

    assert copy.installs() == ["run.txt", "run.txt"]
    assert len([call for call in copy.calls() if call.startswith("venv")]) == 1


def test_the_test_command_gets_its_tools_and_serves_the_others_too(
    copy: Copy, tmp_path: Path
) -> None:
    for command in ("status", "test", "status", "test"):
        copy.run(command, cwd=tmp_path)

    assert copy.installs() == ["run.txt", "test.txt"]


def test_an_environment_made_by_hand_is_kept(copy: Copy, tmp_path: Path) -> None:
    binary = copy.root / ".venv" / "bin"
    binary.mkdir(parents=True)
    shutil.copy(copy.tools / "python-stand-in", binary / "python")
    (binary / "ruff").write_text("a developer's")

    copy.run("status", cwd=tmp_path)

    assert (binary / "ruff").exists()
    assert copy.installs() == ["run.txt"]
    assert not [call for call in copy.calls() if call.startswith("venv")]


def test_two_at_once_make_one_environment(copy: Copy, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: copy.run("status", cwd=tmp_path), range(4)))

    assert [each.returncode for each in done] == [0, 0, 0, 0]
    assert copy.installs() == ["run.txt"]


def test_a_failed_install_says_what_to_do_and_is_tried_again(copy: Copy, tmp_path: Path) -> None:
    (copy.tools / "broken").touch()
    failed = copy.run("status", cwd=tmp_path)
    (copy.tools / "broken").unlink()
    again = copy.run("status", cwd=tmp_path)

    assert failed.returncode == 1
    assert "exit code 3" in failed.stderr
    assert "next:" in failed.stderr
    assert again.returncode == 0
    assert copy.installs() == ["run.txt", "run.txt"]


def test_an_old_python_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 4))

    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / "darkroom"), run_name="__main__")

    assert "needs Python 3.11" in str(end.value)
    assert "next:" in str(end.value)


def test_it_imports_nothing_but_the_standard_library() -> None:
    code = f"import runpy, sys; runpy.run_path({str(ROOT / 'darkroom')!r}); print(*sys.modules)"
    done = subprocess.run(
        (sys.executable, "-I", "-S", "-c", code), capture_output=True, text=True, check=True
    )

    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert loaded <= sys.stdlib_module_names | {"__main__", "_frozen_importlib_external"}
