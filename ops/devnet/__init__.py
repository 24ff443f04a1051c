"""The local networks: everything that `strongroom up` starts beside our own processes."""
