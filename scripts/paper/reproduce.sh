#!/usr/bin/env bash
# What reproduce_mnist.sh, reproduce_ptb.sh and reproduce_maps.sh share; see
# there.
set -euo pipefail
unset CDPATH
{  # read as a whole, so that a new version may come while it runs
script=$1
shift
cd "$(dirname "$0")/../.."
profile=cpu
report=yes
device=()
where=(--cores all)
passed=()

usage() {
  sed -n '2,/^set/s/^# \{0,1\}//p' "scripts/reproduce_$script.sh"
}

fail() {
  echo "reproduce_$script.sh: $1" >&2
  exit 1
}

while [ $# -gt 0 ]; do
  if [[ $1 = --profile=* || $1 = --gpu=* ]]; then
    set -- "${1%%=*}" "${1#*=}" "${@:2}"
  fi
  case $1 in
    -h | --help) usage; exit ;;
    --profile)
      case ${2:-} in
        quick | cpu | paper) profile=$2 ;;
        *)
          [ -f "${2:-}/config.yaml" ] || fail "--profile ${2:-} is no\
 profile; legal: quick, cpu, paper, or a folder with a config.yaml of Snakemake"
          where=()
          passed+=(--profile "$2") ;;
      esac
      shift ;;
    --gpu)
      [[ ${2:-} =~ ^[0-9]+$ ]] || fail "--gpu ${2:-} is no number of a GPU"
      device=("gpu=$2")
      shift ;;
    # Where the jobs run is then the user's.
    --cores* | -c* | --jobs* | -j* | --slurm | --cluster*)
      where=()
      passed+=("$1") ;;
    -n* | --dry-run | --dryrun)
      report=no
      passed+=("$1") ;;
    *) passed+=("$1") ;;
  esac
  shift
done

export PYTHONPATH=$PWD/scripts${PYTHONPATH:+:$PYTHONPATH}
mkdir -p runs
if [ $report = yes ]; then
  exec 9>runs/reproduce.lock
  flock -n 9 || fail "another reproduction is under way in this folder; timed\
 runs must not share the machine"
fi

scripts/setup/install_dependencies.sh
scripts/setup/install_dependencies.sh snakemake
scripts/setup/build_caffe.sh
[ ${#device[@]} = 0 ] || scripts/setup/build_caffe.sh --cuda
[ "$profile" = quick ] || scripts/setup/build_caffe.sh --stock
[ $report = no ] ||
  /usr/bin/python3 -m paper.prepare --profile "$profile" "$script"

status=0
snakemake --snakefile scripts/paper/Snakefile --config profile="$profile" \
  script="$script" "${device[@]}" --scheduler greedy \
  --rerun-triggers mtime --rerun-incomplete --keep-going \
  --show-failed-logs --nolock \
  "${where[@]}" "${passed[@]}" || status=$?
if [ $report = yes ]; then
  /usr/bin/python3 scripts/report_paper.py --profile "$profile"
fi
exit $status
}
