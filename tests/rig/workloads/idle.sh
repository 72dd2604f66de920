#!/bin/sh
# Holds the allocation for a number of seconds.
sleep "${1:-60}"
