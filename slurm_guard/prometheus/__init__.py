"""What a Prometheus server knows of GPUs: asked in bounded slices, its answers taken as anybody's text."""
