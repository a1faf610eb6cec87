"""Scheduling runs on machines: work units, the queue, GPU placement, leases between drivers, executors."""
