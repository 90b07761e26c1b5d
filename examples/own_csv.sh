#!/bin/sh
# Your own tables on a laptop: sh examples/own_csv.sh EDGES.csv VERTICES.csv FOLDER
#
# EDGES has the columns source and target; VERTICES has id, label and, if you like, split; all its
# other columns are features. FOLDER must not exist; it will have predictions.csv and report.html.
set -eu
mkdir "$3"
batchgnn data convert edges "$1" "$3/graph.h5" --vertices "$2"
batchgnn partition "$3/graph.h5" "$3/shards" --shards 4
batchgnn launch -n 2 -- train "$3/shards" --run "$3/run" --layers 2 --fanouts 10 10 --hidden 32 \
    --lr 0.01 --epochs "${EPOCHS:-30}" --patience 10
batchgnn evaluate "$3/run"
batchgnn predict "$3/run" "$3/predictions.csv"
batchgnn report "$3/run" --out "$3/report.html"
