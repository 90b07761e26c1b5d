#!/bin/sh
# A graph of OGB on a cluster with Slurm: sh examples/products_on_slurm.sh OGB_FOLDER FOLDER
#
# OGB_FOLDER is ogbn_products as it was downloaded. FOLDER is on a disk that all machines see; its
# jobs/ will have a script for each step, run/ the metrics, report.html and the best model.
# More words are options that win over products.toml: --nodes 8 --partition cpu --dry-run
set -eu
data=$(realpath "$1") folder=$2
shift 2
batchgnn slurm submit "$folder" --config "$(dirname "$0")/products.toml" \
    --convert "convert ogb $data" "$@"
