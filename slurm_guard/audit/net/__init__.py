"""What a run's processes said to the network: connections, relays, and who allowed them."""
