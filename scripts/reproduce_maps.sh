#!/usr/bin/env bash
# Trains convolutional nets with whole feature maps dropped, LeNet on MNIST and
# a VGG-like net on CIFAR-10, with one pattern for all images of a batch, for
# groups of them and for each, then writes the report,
# runs/PROFILE/report/report.html and report.md.
#
#   scripts/reproduce_maps.sh [--profile cpu] [anything of Snakemake's]
#
# --profile  cpu (default): small nets and few epochs, two hours on one core
#            paper: larger nets, for larger machines
#            quick: minutes; shows that it works, no more
#            a folder with Snakemake's config.yaml, besides: runs the jobs on a
#            cluster; scripts/paper/slurm is one for Slurm
# --gpu      0, say: that GPU trains (needs the CUDA toolkit)
# Whatever else is given goes to Snakemake: -n lists what would be run, `lenet`
# or `cifar10` runs that part only, --cores 8 uses no more cores.
#
# Type the same command again after an interruption: finished runs stay, the
# others go on from the end of their last epoch. What a training says meanwhile
# is in runs/PROFILE/lenet/NAME_seedN.txt and runs/PROFILE/cifar10, and
# scripts/report_paper.py --profile PROFILE writes the report of what there is.
set -euo pipefail
exec "$(dirname "$0")/paper/reproduce.sh" maps "$@"
