"""The lake in an object store: one machine sends it there, others fetch the days that they audit."""
