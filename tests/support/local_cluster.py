"""A Ray cluster of this computer's own, in a process that has no JAX: Ray forks to start nodes.

python tests/support/local_cluster.py     starts a head and two nodes of one processor each,
                                          prints its address, and loses nodes that it is told
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
STORE = 80 * 2**20  # bytes of shared memory of a node; Ray takes no less


@dataclass(frozen=True)
class LocalCluster:
    """A cluster that runs in a process of its own."""

    address: str
    process: subprocess.Popen

    def lose(self, node: str) -> None:
        """Kill a node, named by its id."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(node + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "lost\n"


@contextlib.contextmanager
def local_cluster() -> Iterator[LocalCluster]:
    """Start the cluster, and end it with the block."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, __file__], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        yield LocalCluster(process.stdout.readline().strip(), process)


def main() -> None:
    from ray.cluster_utils import Cluster  # an extra

    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": STORE}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    nodes = [cluster.add_node(num_cpus=1, object_store_memory=STORE) for _ in range(2)]
    print(cluster.address, flush=True)
    for line in sys.stdin:
        (lost,) = (node for node in nodes if node.node_id == line.strip())
        cluster.remove_node(lost, allow_graceful=False)
        print("lost", flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main()
