"""Who computes what, where and when: units of work, machines, leases, the queue."""
