#!/usr/bin/env bash
# Reproduces the paper's figures and tables with LSTMs, Table II, Fig. 5 and
# Fig. 6, and studies of recurrent dropout, the small LSTM's published recipe,
# RESIDUE's groups and a larger LSTM: trains and times every cell, then writes
# the report, runs/PROFILE/report/report.html and report.md.
#
#   scripts/reproduce_ptb.sh [--profile cpu] [anything of Snakemake's]
#
# --profile  cpu (default): LSTMs of 200 units in a night on 2 cores for the
#            paper's part (table2 fig5 fig6a fig6b), with steps timed at the
#            paper's sizes; the studies small, groups and medium take longer
#            paper: the paper's sizes, for larger machines
#            quick: minutes; tiny nets that show that it works, no more
#            a folder with Snakemake's config.yaml, besides: runs the jobs on a
#            cluster; scripts/paper/slurm is one for Slurm
# --gpu      0, say: that GPU trains (needs the CUDA toolkit). Steps are timed
#            on the CPU all the same; a bundle's gpu_check.sh times them on GPUs
# Whatever else is given goes to Snakemake: -n lists what would be run, `table2`
# runs that part only (table2, fig5, fig6a, fig6b, recurrent, small, groups, medium),
# --cores 8 uses no more cores.
#
# Type the same command again after an interruption: finished runs stay, the
# others go on from the end of their last epoch. What a training says meanwhile
# is in runs/PROFILE/ptb/NAME_seedN.txt, and scripts/report_paper.py --profile
# PROFILE writes the report of what there is.
set -euo pipefail
exec "$(dirname "$0")/paper/reproduce.sh" ptb "$@"
