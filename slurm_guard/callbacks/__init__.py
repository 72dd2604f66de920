"""Callbacks that tell the audit a training's progress; each imports its own framework and no other."""
