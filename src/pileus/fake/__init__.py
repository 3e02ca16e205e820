"""The fake cloud as a tool for other people's tests: reset, snapshots, faults on demand, seeds.

Rule: all of it stands around the cloud (the application, the bus, the parts of hosts, the clock); no handler, operation
or driver asks whether its cloud is fake.  ``client`` and ``pileus.pytest_plugin`` need the standard library alone.
"""
