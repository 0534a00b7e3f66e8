"""Models of the ground."""

from tenants.models.agency import Agency
from tenants.models.api_key import ApiKey
from tenants.models.audit_event import AuditEvent
from tenants.models.client import Client
from tenants.models.eval_set import EvalCase, EvalSet
from tenants.models.host import Host
from tenants.models.membership import Membership, Role
from tenants.models.pipeline import Pipeline
from tenants.models.settings_revision import SettingsRevision
from tenants.models.user import User

__all__ = [
    "Agency",
    "ApiKey",
    "AuditEvent",
    "Client",
    "EvalCase",
    "EvalSet",
    "Host",
    "Membership",
    "Pipeline",
    "Role",
    "SettingsRevision",
    "User",
]
