"""What an operator's own tools read: lines of log with ids, figures for Prometheus, traces for OpenTelemetry."""
