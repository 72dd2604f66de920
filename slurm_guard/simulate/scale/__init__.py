"""Nights of a large cluster as a lake and accounting's text, in volume and shape like real ones."""
