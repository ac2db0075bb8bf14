"""Training on several devices and hosts: which devices, which share of each batch, and how the processes agree."""
