"""One physics model (work, power, energy, counters, log, network) for demo, bench and the test rig."""
