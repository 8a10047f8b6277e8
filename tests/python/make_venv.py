"""Makes a virtual environment with pinned packages, unless it is there already, and prints its interpreter.

usage: make_venv.py REQUIREMENTS DIRECTORY
"""

import fcntl
import hashlib
import shutil
import subprocess
import sys
import venv
from pathlib import Path


def main() -> None:
    requirements, directory = Path(sys.argv[1]), Path(sys.argv[2])
    directory.parent.mkdir(parents=True, exist_ok=True)
    stamp = directory / "complete"
    wanted = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    python = directory / "bin" / "python"
    # Two test programs may want it at once.
    with open(directory.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.is_file() or stamp.read_text() != wanted:
            shutil.rmtree(directory, ignore_errors=True)
            venv.create(directory, with_pip=True)
            pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
            # The files are complete; xinference.txt leaves out what only a server of theirs needs.
            subprocess.run([*pip, "--only-binary=:all:", "--no-deps", "--require-hashes", "-r", requirements], check=True, stdout=sys.stderr)
            stamp.write_text(wanted)
    print(python)


if __name__ == "__main__":
    main()
