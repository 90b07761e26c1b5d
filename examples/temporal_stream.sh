#!/bin/sh
# Who meets whom next, in a stream of events: sh examples/temporal_stream.sh EVENTS.csv FOLDER
#
# EVENTS has the columns source, target and time. FOLDER must not exist; it will have report.html,
# and next.csv: how likely the source of the last event is to meet each target next.
set -eu
mkdir "$2"
batchgnn data convert events "$1" "$2/stream.h5"
batchgnn partition "$2/stream.h5" "$2/shards" --shards 4
batchgnn launch -n 2 -- train "$2/shards" --run "$2/run" --mode temporal --lr 0.001 \
    --epochs "${EPOCHS:-10}" --patience 3
batchgnn evaluate "$2/run"
python - "$1" "$2" <<'END'
import csv, sys, numpy

with open(sys.argv[1]) as file:
    events = sorted(csv.DictReader(file), key=lambda event: float(event["time"]))
targets = sorted({event["target"] for event in events})
last = [events[-1]] * len(targets)
time = [float(event["time"]) + 1 for event in last]
numpy.savez(
    f"{sys.argv[2]}/asked.npz", source=[event["source"] for event in last], target=targets, time=time
)
with open(f"{sys.argv[2]}/targets.csv", "w") as file:
    print("target", *targets, sep="\n", file=file)
END
batchgnn predict "$2/run" "$2/chances.csv" --pairs "$2/asked.npz"
paste -d , "$2/targets.csv" "$2/chances.csv" >"$2/next.csv"
batchgnn report "$2/run" --out "$2/report.html"
