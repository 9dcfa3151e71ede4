#!/usr/bin/env bash
# A sweep on four nodes of a Slurm cluster: sbatch examples/cluster/slurm.sh
# Every node needs this project with extra [ray], in the same versions, and sees this folder.
# Submitted again, the sweep goes on where it was.
#SBATCH --job-name=sweep
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=32
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --no-kill
set -euo pipefail

export RAY_USAGE_STATS_ENABLED=0
out=${OUT:-runs/sweep-cluster}
port=6379
cpus=$SLURM_CPUS_PER_TASK

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]}
address=$(srun --nodes=1 --ntasks=1 -w "$head" hostname --ip-address | awk '{print $1}')

on() { # a step of its own on a node: one that fails ends no other
  srun --nodes=1 --ntasks=1 --overlap -w "$@"
}

on "$head" ray start --head --node-ip-address="$address" --port=$port --num-cpus="$cpus" \
  --include-dashboard=false --disable-usage-stats --block &
sleep 15
for node in "${nodes[@]:1}"; do
  on "$node" ray start --address="$address:$port" --num-cpus="$cpus" --disable-usage-stats --block &
done
sleep 15 # nodes that come later are used too

# eight shards at a time on a node, each with four processors
on "$head" python -m experiments.sweep --task sudoku --limit 0 --out "$out" --resume \
  --engine ray --ray-address "$address:$port" --num-cpus-per-task 4
