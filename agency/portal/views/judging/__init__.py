"""Pages around verdicts: a pipeline's gates, waivers, the simulator, the comparison case by case."""
