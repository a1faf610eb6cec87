"""Results on the disk: when two are of the same configuration, reading, writing, finding them."""
