"""Models of the work."""

from pipelines.models.batch import Batch
from pipelines.models.check import Check
from pipelines.models.dataset_version import DatasetVersion
from pipelines.models.example import Example, ExampleBand, ExampleState
from pipelines.models.gate_result import GateResult
from pipelines.models.job import Job
from pipelines.models.model_version import ModelVersion
from pipelines.models.notice import Notice
from pipelines.models.pipeline_state import PipelineState
from pipelines.models.placement import Placement
from pipelines.models.rollback import Rollback
from pipelines.models.rollout import Rollout
from pipelines.models.route import Route
from pipelines.models.run import Run
from pipelines.models.run_event import RunEvent
from pipelines.models.scorecard import Scorecard
from pipelines.models.stage_run import StageRun
from pipelines.models.traffic import Exchange, Feedback, Traffic
from pipelines.models.trigger_decision import TriggerDecision

__all__ = [
    "Batch",
    "Check",
    "DatasetVersion",
    "Example",
    "ExampleBand",
    "ExampleState",
    "Exchange",
    "Feedback",
    "GateResult",
    "Job",
    "ModelVersion",
    "Notice",
    "PipelineState",
    "Placement",
    "Rollback",
    "Rollout",
    "Route",
    "Run",
    "RunEvent",
    "Scorecard",
    "StageRun",
    "Traffic",
    "TriggerDecision",
]
