"""The subcommands of `lsdn`, a module each: its arguments, and what it runs."""
