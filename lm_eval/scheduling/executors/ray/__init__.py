"""Workers as Ray actors, on this machine or a cluster."""
