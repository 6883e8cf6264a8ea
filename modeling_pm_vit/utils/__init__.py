"""What the package needs everywhere: files, processes, resuming, timing, HTML."""
