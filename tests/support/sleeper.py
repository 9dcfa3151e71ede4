"""A program that takes long and has started another: what a job of a report is like.

python -m tests.support.sleeper --out FOLDER
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    folder = Path(sys.argv[-1])
    folder.mkdir(parents=True)
    (folder / "pids.new").write_text(json.dumps([os.getpid(), grandchild.pid]))
    (folder / "pids.new").rename(folder / "pids.json")
    time.sleep(600)
