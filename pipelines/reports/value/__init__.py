"""What a month's work was worth: a constant number of queries for all clients of a scope."""

from pipelines.reports.value.usage import usage_lines
from pipelines.reports.value.work import Work, work_by_client, work_of
from pipelines.usage import COMPUTE

__all__ = ["COMPUTE", "Work", "usage_lines", "work_by_client", "work_of"]
