"""Turns what a job wrote about its training into progress points. Stdlib only: it runs on the node."""
