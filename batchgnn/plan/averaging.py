"""Prediction for mode averaging: a round, whose steps are those of macrobatch without far rows."""

from dataclasses import replace

from batchgnn.modes.averaging.check import ranks_of_trainer, ranks_that_train
from batchgnn.modes.averaging.mean import message_bytes
from batchgnn.modes.averaging.options import Trainers
from batchgnn.modes.averaging.rounds import parse_round
from batchgnn.modes.averaging.server import settings_of_server
from batchgnn.plan.job import Job
from batchgnn.plan.prediction import MESSAGES, PACKING, Prediction
from batchgnn.plan.rates import Rates
from batchgnn.plan.sampled import predict_macrobatch
from batchgnn.plan.whole import gradient_seconds, largest_plan
from batchgnn.sampling.options import Batches

NOTE = "steps estimated as if no edge were left out"


def predict_averaging(job: Job, rates: Rates) -> Prediction:
    """Trainers of one rank send nothing in a step; those of several what macrobatch sends."""
    width = ranks_of_trainer(job.settings, job.num_ranks)
    trainers = ranks_that_train(job.settings, job.num_ranks) // width
    batch_size = trainers * job.settings[Batches].size
    all_together = replace(job, settings=job.settings.replace(batch_size=batch_size))
    a_pass = predict_macrobatch(all_together, rates)
    seconds, sends = dict(a_pass.seconds), width > 1
    if not sends:
        seconds |= {PACKING: 0.0, MESSAGES: 0.0}
    each = parse_round(job.settings[Trainers].round)
    step_s = (sum(seconds.values()) - sends * a_pass.hidden_s) / a_pass.steps
    steps = each.steps or max(1, round((each.seconds or 0) / step_s))
    passes = steps / a_pass.steps
    seconds = {name: passes * value for name, value in seconds.items()}
    seconds[MESSAGES] += gradient_seconds(job, rates)
    server, corrected = _server(job, rates)
    seconds = {name: value + corrected * server.seconds[name] for name, value in seconds.items()}
    mean_bytes = job.num_ranks * message_bytes(job.model.parameters.buffer)
    return replace(
        a_pass,
        exactness="approximate: trainers of their own" if trainers > 1 else a_pass.exactness,
        is_exact=trainers == 1,
        seconds=seconds,
        hidden_s=sends * passes * a_pass.hidden_s,
        steps=steps,
        bytes=sends * passes * a_pass.bytes
        + (trainers > 1) * mean_bytes
        + corrected * server.bytes,
        calls=round(sends * passes * a_pass.calls + corrected * server.calls) + (trainers > 1),
        memory=largest_plan(job),
        notes=(*a_pass.notes, NOTE),
    )


def _server(job: Job, rates: Rates) -> tuple[Prediction, float]:
    """A pass over the whole graph by all ranks, and how much of one follows each mean."""
    a_pass = predict_macrobatch(replace(job, settings=settings_of_server(job.settings)), rates)
    return a_pass, job.settings[Trainers].num_server_steps / a_pass.steps
