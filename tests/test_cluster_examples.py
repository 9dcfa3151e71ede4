"""The examples for clusters: their syntax, and that commands in them name options that exist."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments.jobs.engine import read_engine
from experiments.jobs.remote_work import Engine
from experiments.sweep.__main__ import parser

FOLDER = Path(__file__).resolve().parent.parent / "examples" / "cluster"
SLURM, KUBERAY = FOLDER / "slurm.sh", FOLDER / "kuberay.yaml"


def documents() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(KUBERAY.read_text(encoding="utf-8")))


def command_of_slurm() -> str:
    text = SLURM.read_text(encoding="utf-8").replace("\\\n", "")
    (line,) = [line for line in text.splitlines() if "python -m" in line]
    return line.partition("python -m ")[2]


def test_bash_reads_the_slurm_script():
    done = subprocess.run(["bash", "-n", SLURM], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    asked = re.findall(r"^#SBATCH --([a-z-]+)", SLURM.read_text(encoding="utf-8"), re.M)
    assert {"nodes", "cpus-per-task", "no-kill"} <= set(asked)


def test_kubernetes_reads_the_ray_job():
    job, claim = documents()
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    cluster = job["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group in groups:
        (container,) = group["template"]["spec"]["containers"]
        assert {"name": "RAY_USAGE_STATS_ENABLED", "value": "0"} in container["env"]
        assert container["resources"]["limits"] == container["resources"]["requests"]
    (volume,) = groups[0]["template"]["spec"]["volumes"]
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]


@pytest.mark.parametrize(
    "command", [command_of_slurm(), documents()[0]["spec"]["entrypoint"].removeprefix("python -m ")]
)
def test_commands_are_sweeps_on_ray_that_go_on(command: str):
    module, *words = shlex.split(command)
    assert module == "experiments.sweep"
    args = parser().parse_args(words)
    assert args.resume
    assert read_engine(args).engine is Engine.RAY
    assert read_engine(args).num_cpus_per_task == 4


def test_nothing_here_reports_to_ray():
    """Clusters started by the examples send no statistics of usage."""
    starts = re.findall(r"ray start (.*?)&$", SLURM.read_text().replace("\\\n", ""), re.M)
    assert len(starts) == 2
    assert all("--disable-usage-stats" in start for start in starts)
