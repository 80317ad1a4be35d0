"""`hpc-runner serve`: the sandbox behind HTTP; docs/serve.md."""
