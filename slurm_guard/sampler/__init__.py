"""The node's sampler: one process that follows GPUs, processes, sockets and progress files."""
