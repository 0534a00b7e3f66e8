"""Trainings elsewhere: where a run's training is done, and what ends there when nobody waits for it any more."""
