"""What leaves a run: results in the formats of other tools."""
