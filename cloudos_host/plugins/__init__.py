"""The plugins' life: discovery, loading, lifespans, context, jobs, license and health."""
