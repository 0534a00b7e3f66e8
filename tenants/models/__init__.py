"""Models of the ground."""

from tenants.models.agency import Agency
from tenants.models.api_key import ApiKey
from tenants.models.audit_event import AuditEvent
from tenants.models.brand import Brand
from tenants.models.client import Client
from tenants.models.erasure import Erasure
from tenants.models.eval_set import EvalCase, EvalSet
from tenants.models.freeze import Freeze
from tenants.models.host import DriftPolicy, Host
from tenants.models.host_drift import HostDrift
from tenants.models.host_sample import HostSample
from tenants.models.invitation import Invitation
from tenants.models.judge_endpoint import JudgeEndpoint
from tenants.models.machine import Machine
from tenants.models.machine.agent import HostAgent, HostCall
from tenants.models.membership import Membership, Role
from tenants.models.pipeline import Pipeline
from tenants.models.proposal import Outcome, Proposal
from tenants.models.settings_preset import SettingsPreset
from tenants.models.settings_revision import SettingsRevision
from tenants.models.share_link import ShareLink
from tenants.models.shared_example import SharedExample
from tenants.models.telling.channel import Channel
from tenants.models.telling.choice import MailChoice
from tenants.models.training_service import TrainingConsent, TrainingService
from tenants.models.user import User
from tenants.models.value import Cap, CapKind, UsageIssue, ValueTerms

__all__ = [
    "Agency",
    "ApiKey",
    "AuditEvent",
    "Brand",
    "Cap",
    "CapKind",
    "Channel",
    "Client",
    "DriftPolicy",
    "Erasure",
    "EvalCase",
    "EvalSet",
    "Freeze",
    "Host",
    "HostAgent",
    "HostCall",
    "HostDrift",
    "HostSample",
    "Invitation",
    "JudgeEndpoint",
    "Machine",
    "MailChoice",
    "Membership",
    "Outcome",
    "Pipeline",
    "Proposal",
    "Role",
    "SettingsPreset",
    "SettingsRevision",
    "ShareLink",
    "SharedExample",
    "TrainingConsent",
    "TrainingService",
    "UsageIssue",
    "User",
    "ValueTerms",
]
