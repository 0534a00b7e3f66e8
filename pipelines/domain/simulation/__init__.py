"""What gates would do: before a run to equal and harmed retrains (odds), after it with other thresholds (replay)."""

from pipelines.domain.simulation.odds import AtHand, Odds, combined, odds_of

__all__ = ["AtHand", "Odds", "combined", "odds_of"]
