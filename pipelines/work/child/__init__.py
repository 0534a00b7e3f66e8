"""Child processes for heavy work: `spawn` starts one, follows it, and stops it with all that it started."""

from pipelines.work.child.sandbox import Limits
from pipelines.work.child.spawn import ChildResult, end, log_tail, spawn, start

__all__ = ["ChildResult", "Limits", "end", "log_tail", "spawn", "start"]
