"""scripts/setup.sh, with programs of the system replaced by ones that tell of it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
TOOLS = "cat cksum cp date dirname env find mkdir mktemp rm sleep wc"

PYTHON = r"""#!/bin/sh
case "$*" in
*version_info*) exit ${TOO_OLD:-0} ;;
--version) echo Python 3.11.2 ;;
*"import ensurepip"*) exit ${NO_VENV:-0} ;;
*"import pip"*) exit ${NO_PIP:-0} ;;
"-m venv .venv")
    mkdir -p .venv/bin .venv/lib/python3.11/site-packages
    cp "$0" .venv/bin/python ;;
"-m pip install"*)
    echo "Collecting torch==2.15.0"
    echo "  Downloading torch-2.15.0-cp311-cp311-linux_x86_64.whl.metadata (30 kB)"
    echo "Downloading torch-2.15.0-cp311-cp311-linux_x86_64.whl (890.1 MB)"
    echo "  Downloading https://example.org/a/scipy-1.17.1-cp311-cp311.whl (35 MB)"
    echo "Downloading rich-15.0.0-py3-none-any.whl (300 kB)"
    echo "Installing collected packages: torch, scipy, rich"
    mkdir -p .venv/lib/python3.11/site-packages/torch-2.15.0.dist-info
    sleep 2
    [ -z "${PIP_FAILS:-}" ] || { echo "ERROR: no space" >&2; exit 1; } ;;
"-m pip check") echo "No broken requirements found." ;;
esac
"""
DPKG = (
    '#!/bin/sh\ncase " $INSTALLED " in *" $4 "*|*" all "*) printf installed ;; esac\n'
)
APT = '#!/bin/sh\necho "apt-get $*" >>"$APT_LOG"\n'
REFUSES = "#!/bin/sh\nexit 1\n"


@pytest.fixture
def checkout(tmp_path):
    """A folder, with a space, that has what the script reads."""
    folder = tmp_path / "my checkout"
    (folder / "scripts").mkdir(parents=True)
    for name in ("scripts/setup.sh", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture
def setup(tmp_path, checkout):
    """Run the script on a machine that has the given programs."""
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    for name in TOOLS.split():
        (bin_folder / name).symlink_to(shutil.which(name))

    def run(user="1000", programs=(), **variables):
        texts = {
            "python3": PYTHON,
            "dpkg-query": DPKG,
            "apt-get": APT,
            "id": f"#!/bin/sh\necho {user}\n",
            **dict(programs),
        }
        for name, text in texts.items():
            (bin_folder / name).write_text(text)
            (bin_folder / name).chmod(0o755)
        return subprocess.run(
            ["/bin/sh", str(checkout / "scripts" / "setup.sh")],
            env={
                "PATH": str(bin_folder),
                "APT_LOG": str(tmp_path / "apt.log"),
                "NEWS_SECONDS": "1",
                "INSTALLED": "all",
                **variables,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return run


def test_steps_and_large_downloads_are_named_once(setup, checkout):
    done = setup()
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    steps = [line for line in lines if " step " in line]
    assert [line.split()[2] for line in steps] == ["1", "2", "3", "4"]
    assert "setup:     downloading torch 2.15.0 (890.1 MB)" in lines
    assert "setup:     downloading scipy 1.17.1 (35 MB)" in lines
    assert "setup:     unpacking 3 packages" in lines
    assert "setup:     1 packages are in .venv" in lines
    assert "rich" not in done.stdout
    assert "metadata" not in done.stdout
    # What is set up is not set up again, and nothing is said.
    again = setup()
    assert (again.returncode, again.stdout) == (0, "")
    with (checkout / "constraints.txt").open("a") as file:
        file.write("a==1\n")
    assert "step 4" in setup().stdout


def test_a_failure_of_pip_is_shown_and_tried_again(setup):
    failed = setup(PIP_FAILS="1")
    assert failed.returncode != 0
    assert "no space" in failed.stderr
    assert "done after" not in failed.stdout
    assert setup().returncode == 0


@pytest.mark.parametrize(
    ("programs", "line"),
    [
        ({"sudo": REFUSES}, "sudo apt-get update && sudo apt-get install -y {} xvfb"),
        ({}, "su -c 'apt-get update && apt-get install -y {} xvfb'"),
    ],
)
def test_what_is_missing_is_one_line_to_type(setup, checkout, programs, line):
    text = (ROOT / "scripts" / "setup.sh").read_text()
    names = text.split('PACKAGES="')[1].split('"')[0].replace("\\\n", "").split()
    # Debian 13 has another name for this one.
    there = [n for n in names if n not in ("xvfb", "libglib2.0-0")] + [
        "libglib2.0-0t64"
    ]
    stopped = setup(programs=programs, INSTALLED=" ".join(there))
    assert stopped.returncode == 1
    wanted = line.format("--no-install-recommends")
    assert stopped.stdout.splitlines()[-1] == wanted
    assert not (checkout / ".venv").exists()


def test_root_installs_what_is_missing(setup, tmp_path):
    assert setup(user="0", INSTALLED="", NO_VENV="1").returncode == 0
    update, install = (tmp_path / "apt.log").read_text().splitlines()
    assert update.startswith("apt-get update")
    assert "python3-venv xvfb" in install


def test_a_python_of_ones_own_needs_no_package_for_venv(setup, tmp_path):
    assert setup(user="0", INSTALLED="", NO_VENV="0").returncode == 0
    assert "python3-venv" not in (tmp_path / "apt.log").read_text()


def test_no_python_is_a_system_package_and_else_a_message(setup, tmp_path):
    old = setup(user="0", TOO_OLD="1")
    assert old.returncode == 1
    assert "Python 3.11 or newer is missing" in old.stderr
    assert " python3" in (tmp_path / "apt.log").read_text()


def test_an_environment_without_pip_is_left_alone(setup, checkout):
    assert setup().returncode == 0
    (checkout / ".venv" / "segmix-setup").unlink()
    broken = setup(NO_PIP="1")
    assert broken.returncode == 1
    assert f"rm -r '{checkout}/.venv'" in broken.stderr
    assert (checkout / ".venv" / "bin" / "python").exists()
