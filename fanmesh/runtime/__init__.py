"""What a process needs to run: clock, environment, telemetry, metrics, logs, serving."""
