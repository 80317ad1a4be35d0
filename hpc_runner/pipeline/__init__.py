"""From a corpus to a finished run: plan, scheduler, coordinator."""
