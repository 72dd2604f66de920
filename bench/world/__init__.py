"""A coupled world of GPU runs at 1 Hz that writes rows of the lake and shares nothing with the audit."""
