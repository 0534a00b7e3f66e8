"""When people are told: again after a refusal, or not again; what belongs to one trouble."""
