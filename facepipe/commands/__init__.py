"""One module a family of commands: `add_parsers` says how they are called, the functions beside it do it."""
