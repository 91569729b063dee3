#!/usr/bin/env bash
# Submits one training by several ranks to Slurm:
#
#   scripts/submit_training.sh -n 8 -c 4 -t 1-0 -- --solver=solver.prototxt
#
# Before -- are sbatch's options: ranks (-n, or -N and --ntasks-per-node), cores
# of each rank (-c), time limit, partition, memory, --gpus-per-task=1. Behind it
# are those of `caffe train`, to which --snapshot=auto is added; with --gpu=all
# each rank trains on a GPU (build/bin/caffe-cuda of `make cuda MPI=1`).
#
# Two minutes before its time limit the training writes a snapshot and waits in
# the queue again; it does so, too, where a node fails or the job is preempted.
# What ends otherwise goes on by the same command. Several of a name in the
# queue, with --dependency=singleton, do that by themselves. All say what they
# say in the same file, slurm-NUMBER.out.
# SRUN_MPI is srun's --mpi: pmix for Open MPI, pmi2 for MPICH.
set -euo pipefail
unset CDPATH

if [ "${1:-}" != --job ]; then
  root=$(cd "$(dirname "$0")/.." && pwd)
  options=()
  while [ $# -gt 0 ] && [ "$1" != -- ]; do
    options+=("$1")
    shift
  done
  program=caffe target=mpi
  for option in "${@:2}"; do
    case $option in
      -gpu* | --gpu*) program=caffe-cuda target="cuda MPI=1" ;;
    esac
  done
  if [ $# -lt 2 ] || [ ! -x "$root/build/bin/$program" ]; then
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
    [ $# -lt 2 ] ||
      echo "submit_training: no build/bin/$program; run make $target"
    exit 1
  fi >&2
  # sbatch takes a copy of this file, which does not know where it was.
  exec sbatch --job-name=caffe --requeue --open-mode=append \
    --signal=B:USR1@120 "${options[@]}" "$0" --job "$root/build/bin/$program" \
    "${@:2}"
fi

caffe=$2
shift 2
limit=no
trap 'limit=yes' USR1  # before the time limit

# srun does not take -c from the job.
export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$SRUN_CPUS_PER_TASK}
srun --mpi="${SRUN_MPI:-pmix}" --kill-on-bad-exit=1 \
  "$caffe" train --snapshot=auto "$@" &
step=$!
status=0
wait $step || status=$?
if [ $limit = yes ]; then
  scancel --signal=INT "$SLURM_JOB_ID.0"  # ranks write a snapshot and end
  wait $step || :
  scontrol requeue "$SLURM_JOB_ID"
fi
exit $status
