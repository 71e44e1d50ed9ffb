"""The phases in which objects are told apart, one after the other.

    cores         pieces of the network's cores in each shard
    join-cores    which of them are one core of the volume
    grow          each voxel of a shard to its nearest core, and pieces of what no core reaches
    join-objects  which of these are one object, and its number
    number        the ids of each shard's voxels
    measure       what is counted of the objects in each shard

Workers share the shards of a phase out; the joins are one process.
"""

SEPARATION = ("cores", "join-cores", "grow", "join-objects", "number", "measure")
PHASED = "separate-phase"
"""The workflow's template of each."""
JOINS = ("join-cores", "join-objects")
