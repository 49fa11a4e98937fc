"""Speed and memory, each number beside a peer that is timed in turns with it."""
