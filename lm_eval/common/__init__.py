"""What every part uses and none is about: texts, whole files, the hub, progress, the console."""
