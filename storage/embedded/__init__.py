"""PostgreSQL and an S3 store for one machine, from wheels, as children of the process that asks."""
