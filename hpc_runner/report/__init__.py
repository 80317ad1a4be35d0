"""What a person reads: progress, summary, report."""
