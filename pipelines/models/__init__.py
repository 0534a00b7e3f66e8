"""Models of the work."""

from pipelines.models.batch import Batch
from pipelines.models.blind_vote import BlindVote
from pipelines.models.check import Check
from pipelines.models.dataset_version import DatasetVersion
from pipelines.models.example import Example, ExampleState, SignatureBlock
from pipelines.models.gate_result import GateResult
from pipelines.models.job import Job, JobPart, Turn
from pipelines.models.model_version import ModelVersion
from pipelines.models.notice import Notice
from pipelines.models.pipeline_state import PipelineState
from pipelines.models.placement import Placement
from pipelines.models.replay_pair import ReplayPair
from pipelines.models.rollback import Drill, Rollback
from pipelines.models.rollout import Rollout
from pipelines.models.route import Route
from pipelines.models.row_decision import RowChange, RowDecision
from pipelines.models.run import Run
from pipelines.models.run_event import RunEvent
from pipelines.models.scorecard import Scorecard
from pipelines.models.source import Source, Trust
from pipelines.models.stage_run import StageRun
from pipelines.models.telling.delivery import Delivery, DeliveryStatus
from pipelines.models.traffic import Body, Exchange, Feedback, Traffic, TrafficSpan, Unit
from pipelines.models.trigger_decision import TriggerDecision
from pipelines.models.waiver import Waiver

__all__ = [
    "Batch",
    "BlindVote",
    "Body",
    "Check",
    "DatasetVersion",
    "Delivery",
    "DeliveryStatus",
    "Drill",
    "Example",
    "ExampleState",
    "Exchange",
    "Feedback",
    "GateResult",
    "Job",
    "JobPart",
    "ModelVersion",
    "Notice",
    "PipelineState",
    "Placement",
    "ReplayPair",
    "Rollback",
    "Rollout",
    "Route",
    "RowChange",
    "RowDecision",
    "Run",
    "RunEvent",
    "Scorecard",
    "SignatureBlock",
    "Source",
    "StageRun",
    "Traffic",
    "TrafficSpan",
    "TriggerDecision",
    "Trust",
    "Turn",
    "Unit",
    "Waiver",
]
