"""Heavy work as errands: given, carried out here or by a machine, and kept; what is kept was looked at here."""

from pipelines.heavy.errands.carrying import Keep, Prepare, carry

__all__ = ["Keep", "Prepare", "carry"]
