"""Hosts, programs and scoring of the network benchmark."""
