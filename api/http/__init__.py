"""The pages of the REST API, one file per noun. Each parses, gives one command or reads one view, and answers."""
