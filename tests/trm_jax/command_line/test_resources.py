"""Free memory, read from files as Linux writes them; each case made by hand."""

from pathlib import Path

import pytest

from trm_jax.command_line.resources import free_memory, usable_processors

MEMINFO = "MemTotal: 9000 kB\nMemFree: 100 kB\nMemAvailable: 4000 kB\nHugePages_Total: 0\n"


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def test_what_is_available_counts_and_not_what_is_unused(tmp_path: Path) -> None:
    assert free_memory(write(tmp_path, {"proc/meminfo": MEMINFO})) == 4000 * 1024


def test_a_system_that_tells_nothing(tmp_path: Path) -> None:
    assert free_memory(tmp_path) is None


V2, V1 = "sys/fs/cgroup", "sys/fs/cgroup/memory"


@pytest.mark.parametrize(
    ("files", "free"),
    [
        # own group without a limit, the one around it with one; cached files are given back
        (
            {
                "proc/self/cgroup": "0::/slice/job\n",
                f"{V2}/slice/job/memory.max": "max\n",
                f"{V2}/slice/job/memory.current": "700\n",
                f"{V2}/slice/memory.max": "1000\n",
                f"{V2}/slice/memory.current": "800\n",
                f"{V2}/slice/memory.stat": "anon 500\ninactive_file 300\n",
            },
            500,
        ),
        # a container sees its own group as the root
        (
            {
                "proc/self/cgroup": "0::/\n",
                f"{V2}/memory.max": "1000\n",
                f"{V2}/memory.current": "900\n",
            },
            100,
        ),
        (
            {
                "proc/self/cgroup": "5:cpu,cpuacct:/job\n4:memory:/job\n",
                f"{V1}/memory.limit_in_bytes": "9223372036854771712\n",
                f"{V1}/memory.usage_in_bytes": "5000\n",
                f"{V1}/job/memory.limit_in_bytes": "1000\n",
                f"{V1}/job/memory.usage_in_bytes": "1300\n",
                f"{V1}/job/memory.stat": "inactive_file 1\ntotal_inactive_file 400\n",
            },
            100,
        ),
        # more than its limit: nothing is free
        (
            {
                "proc/self/cgroup": "0::/\n",
                f"{V2}/memory.max": "1000\n",
                f"{V2}/memory.current": "1100\n",
            },
            0,
        ),
    ],
    ids=["around", "container", "v1", "full"],
)
def test_limits_of_groups_count(tmp_path: Path, files: dict[str, str], free: int) -> None:
    assert free_memory(write(tmp_path, {"proc/meminfo": MEMINFO, **files})) == free


def test_this_machine_has_cores() -> None:
    assert usable_processors() >= 1
