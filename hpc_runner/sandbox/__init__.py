"""The agent that runs and judges executions, and the runtimes that start it."""
