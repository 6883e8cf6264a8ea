"""What things cost, measured against what they are compared with, in turn on the same machine."""
