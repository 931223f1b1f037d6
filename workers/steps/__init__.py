"""Steps of the pipeline: each fetches its inputs, works on local files, publishes its outputs."""
