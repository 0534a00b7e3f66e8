"""What a client's own people read of a month: is it well, what changed and why it is safe, what went wrong.

Nothing of hosts, keys, traces or attack prompts is in these values, and of staff only names that they chose to give, so
no page made of them can show more.
"""

from pipelines.reports.client.calendar import Month, month_of, read_month
from pipelines.reports.client.months import ClientReport, PipelineMonth, client_report, pipeline_report

__all__ = ["ClientReport", "Month", "PipelineMonth", "client_report", "month_of", "pipeline_report", "read_month"]
