"""Objects of a class, told apart exactly: the same partition whatever the block, the shard or the number of workers."""
