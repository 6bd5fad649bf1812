"""What a Hugging Face Space runs: the same as `python demo.py --host 0.0.0.0 --port 7860 --public`.

A secret named PASSWORD in the settings of the Space is the password with which its owner may stop and delete any run. Where the
Space has a persistent disk, runs are kept there.
"""

import os
import runpy
import shutil
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
DISK = Path("/data")  # of a Space that has one

if __name__ == "__main__":
    password = ["--password", os.environ["PASSWORD"]] if os.environ.get("PASSWORD") else []
    runs = ["--checkpoints", str(DISK / "checkpoints")] if DISK.is_dir() else []
    port = os.environ.get("GRADIO_SERVER_PORT", "7860")
    if runs and not (DISK / "checkpoints" / "stories").exists():  # the run that comes with the project
        shutil.copytree(PROJECT / "checkpoints" / "stories", DISK / "checkpoints" / "stories")
    sys.path.insert(0, str(PROJECT))
    sys.argv = ["demo.py", "--host", "0.0.0.0", "--port", port, "--public", "--no-open", *password, *runs]
    runpy.run_path(str(PROJECT / "demo.py"), run_name="__main__")
