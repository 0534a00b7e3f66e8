"""The product in one page: seven stages in order, and the heavy jobs that they wait for. Read this first.

A run walks down PLAN. The kernel (pipelines/engine) claims the run's row, asks the stage whose turn it is, and writes
its answer down: Done, Wait, Hold, Stop or Retry. Stages are small and may be asked again at any time; what takes long
is a job, done in a child process by whichever worker claims it.

    trigger   why this run exists, and with which settings
    validate  judges the new rows: schema, duplicates, conflicts, leakage, distribution, quality
    finetune  freezes the dataset, then jobs: preflight -> train -> build (merge, GGUF, quantise, verify)
    evaluate  job: candidate and production answer the same cases in the same engine
    compare   the gates speak: promote, reject, or hold for a person
    deploy    jobs: push to every host; then canary 5 % -> 25 % -> 100 % through the gateway's route
    monitor   watches 100 % for a day; takes it back when the evidence says so
    (a run that is held meanwhile keeps its guardrails: stages/held.py)

A prompt run brings a version's weights under a new system prompt or new parameters: it leaves out validate and
finetune, and meets every gate and guardrail after them.

Where a run can end: succeeded, skipped (too little data), stopped (data checks), rejected (gates), rolled_back, failed,
cancelled. Pure decisions are in pipelines/domain, each with its formula's source.
"""

from pipelines.engine.jobs import Handler
from pipelines.engine.outcome import Plan, Stage
from pipelines.heavy import bring, build, hops, judge, measure, preflight, push, replay, restore, train
from pipelines.heavy.asking import drill, probe
from pipelines.heavy.elsewhere import recall
from pipelines.heavy.errands import Prepare
from pipelines.heavy.retiring import job as retire
from pipelines.shipping.ending import on_rest
from pipelines.stages import compare, deploy, evaluate, finetune, held, monitor, trigger, validate

PLAN = Plan(
    stages=(
        Stage("trigger", trigger.run),
        Stage("validate", validate.run),
        Stage("finetune", finetune.run),
        Stage("evaluate", evaluate.run),
        Stage("compare", compare.run),
        Stage("deploy", deploy.run, held.guard),
        Stage("monitor", monitor.run, held.guard),
    ),
    on_rest=on_rest,
)

# kind -> handler; "push:berlin" is a job of kind push.
JOBS: dict[str, Handler] = {
    "preflight": preflight.work,
    "train": train.work,
    "build": build.work,
    "evaluate": measure.work,
    "hops": hops.work,
    "judge": judge.work,
    "push": push.work,
    "alias": restore.point_aliases,
    "restore": restore.work,
    "replay": replay.work,
    "last": restore.look_again,
    "bring": bring.work,
    "drill": drill.work,
    "probe": probe.work,
    "retire": retire.work,
    "recall": recall.work,
}

# What a machine of the agency may do in a worker's place: kind -> what writes the errand down.
ERRANDS: dict[str, Prepare] = {"train": train.prepare, "build": build.prepare, "evaluate": measure.prepare}
