#!/usr/bin/env bash
# Reproduces the paper's figures and tables on MNIST, Fig. 4 and Table I, and
# studies of long trainings, of both families' N and of where TILE's tiles lie:
# trains and times every cell, then writes the report,
# runs/PROFILE/report/report.html and report.md.
#
#   scripts/reproduce_mnist.sh [--profile cpu] [anything of Snakemake's]
#
# --profile  cpu (default): MNIST in about a night on 2 cores
#            paper: the paper's sizes, for larger machines
#            quick: minutes; tiny nets that show that it works, no more
#            a folder with Snakemake's config.yaml, besides: runs the jobs on a
#            cluster; scripts/paper/slurm is one for Slurm
# --gpu      0, say: that GPU trains (needs the CUDA toolkit). Steps are timed
#            on the CPU all the same; a bundle's gpu_check.sh times them on GPUs
# Whatever else is given goes to Snakemake: -n lists what would be run, `table1`
# runs that part only (fig4, table1, convergence, periods, residues, tiles),
# --cores 8 uses no more cores.
#
# Type the same command again after an interruption: finished runs stay, the
# others go on from the end of their last epoch. What a training says meanwhile
# is in runs/PROFILE/mnist/NAME_seedN.txt, and scripts/report_paper.py --profile
# PROFILE writes the report of what there is.
set -euo pipefail
exec "$(dirname "$0")/paper/reproduce.sh" mnist "$@"
