#!/bin/sh
# Who meets whom next, in a stream of events: sh examples/temporal_stream.sh EVENTS.csv FOLDER
#
# EVENTS has the columns source, target and time. FOLDER must not exist; it will have
# predictions.h5, a probability for each event of the last part of the stream, and report.html.
set -eu
mkdir "$2"
batchgnn data convert events "$1" "$2/stream.h5"
batchgnn partition "$2/stream.h5" "$2/shards" --shards 4
batchgnn launch -n 2 -- train "$2/shards" --run "$2/run" --mode temporal --lr 0.001 \
    --epochs "${EPOCHS:-10}" --patience 3
batchgnn evaluate "$2/run"
batchgnn predict "$2/run" "$2/predictions.h5"
batchgnn report "$2/run" --out "$2/report.html"
