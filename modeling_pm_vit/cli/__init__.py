"""The command `pm-vit`: one file a command, each from its options to a library function and what it prints."""
